"""Each mistake of `mistakes.py` is put into a copy of the shop: tests that pass there without it find what it breaks.

To repeat one by hand, make the edit that stands there and run pytest with the tests that are named.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import cache_from_source
from pathlib import Path

import pytest

from tests.house.documents import copy_of_the_project
from tests.house.mistakes import MISTAKES, SEQUENTIAL, Mistake
from tests.support import ROOT


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_the_project(tmp_path_factory.mktemp("mistakes"))


@contextmanager
def made(shop: Path, mistake: Mistake) -> Iterator[None]:
    """The mistake, while the block lasts.

    What was compiled before is removed: Python compares the time of a file in whole seconds.
    """
    file = shop / mistake.file
    compiled = Path(cache_from_source(file))
    right = file.read_text()
    file.write_text(right.replace(mistake.right, mistake.wrong))
    compiled.unlink(missing_ok=True)
    try:
        yield
    finally:
        file.write_text(right)
        compiled.unlink(missing_ok=True)


def failures(shop: Path, tests: Iterable[str]) -> dict[str, str]:
    """Which of the tests fail in the copy, and what each says."""
    command = [sys.executable, "-m", "pytest", "-q", "-rfE", "-n", "0", *tests]
    environment = {**os.environ, "PYTHONPATH": str(shop), "COLUMNS": "400"}  # wide enough for what a failure says
    done = subprocess.run(command, env=environment, cwd=shop, capture_output=True, text=True, timeout=600)
    for name in ("postgresql", "mariadb"):
        if f"[{name}" in str(command) and f"{name}: NOT TESTED" in done.stdout:
            give_up = pytest.fail if os.environ.get("CI") else pytest.skip
            give_up(f"{name} is not available")
    failed = dict(re.findall(r"^FAILED (.+?) - (.+)$", done.stdout, re.MULTILINE))
    assert done.returncode == (1 if failed else 0), done.stdout + done.stderr
    assert "\nERROR " not in done.stdout, done.stdout
    assert re.search(r"\d+ (passed|failed)", done.stdout), done.stdout
    return failed


def test_every_mistake_can_be_made_in_the_present_code() -> None:
    stale = [name for name, each in MISTAKES.items() if (ROOT / each.file).read_text().count(each.right) != 1]
    assert not stale, f"the code has changed: make these mistakes in it as it is now: {stale}"


@pytest.mark.copies
def test_without_a_mistake_all_these_tests_pass(shop: Path) -> None:
    found_by = {test for mistake in MISTAKES.values() for test in mistake.found_by}
    assert failures(shop, [*SEQUENTIAL, *found_by]) == {}


@pytest.mark.copies
@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_found_by_its_tests(name: str, shop: Path) -> None:
    mistake = MISTAKES[name]
    with made(shop, mistake):
        failed = failures(shop, [*mistake.passes, *mistake.found_by])

    green = [test for test in mistake.found_by if not any(each.startswith(test) for each in failed)]
    assert not green, f"these tests pass in spite of the mistake: {green}"
    assert not failed.keys() & set(mistake.passes), f"these tests fail, but should not see the mistake: {failed}"
    unclear = {test: message for test, message in failed.items() if not re.search(mistake.says, message)}
    assert not unclear, f"these tests fail for another reason: {unclear}"
