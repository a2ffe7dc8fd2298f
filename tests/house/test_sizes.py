"""Files stay short, because each does one thing."""

import pytest

from tests.support import ROOT

LIMITS = {"api": 250, "tests": 500}
"""Lines of a file, by its folder. Tests repeat what they set up, and get more."""


def lengths() -> list[tuple[str, int, int]]:
    """The length of each file and its limit."""
    return [
        (file.relative_to(ROOT).as_posix(), len(file.read_text().splitlines()), limit)
        for folder, limit in LIMITS.items()
        for file in sorted((ROOT / folder).rglob("*.py"))
    ]


@pytest.mark.parametrize("folder", LIMITS)
def test_every_folder_with_a_limit_has_files(folder: str) -> None:
    assert [file for file, _, _ in lengths() if file.startswith(f"{folder}/")]


def test_every_file_is_short_enough_to_do_one_thing() -> None:
    long = [
        f"{file} has {length} lines, and {limit} are the limit: split it by subject"
        for file, length, limit in lengths()
        if length > limit
    ]
    assert not long, "\n".join(long)
