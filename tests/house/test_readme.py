"""The README is true: its tour can be taken, and its tables name what there is."""

import os
import re
from pathlib import Path

import pytest

from api.settings import RETIRED, Settings
from tests.databases import Backend
from tests.first_start import first_start
from tests.house.documents import BIN, blocks, run, section
from tests.support import ROOT

README = (ROOT / "README.md").read_text()


def steps(script: str) -> list[tuple[str, list[str]]]:
    """The commands of a script, each with the parts of its answer that the lines after it promise."""
    found = re.findall(r"((?:(?!#> ).*\n)+)((?:#> .*\n)*)", script)
    return [(commands, [line.removeprefix("#> ") for line in promised.splitlines()]) for commands, promised in found]


@pytest.mark.parametrize(
    ("title", "promises"),
    [("Ten minutes", 16), ("Files in and out", 1), ("Mail", 1), ("The tutorial's eight calls", 10)],
)
def test_every_answer_of_a_tour_is_as_the_readme_promises(
    title: str, promises: int, backend: Backend, tmp_path: Path
) -> None:
    variables, sign_in, *first_tour = blocks(section(README, "Ten minutes"), "sh")
    assert variables.startswith("BASE=http://127.0.0.1:8000\nPASSWORD=")
    script = [sign_in, *(first_tour if title == "Ten minutes" else blocks(section(README, title), "sh"))]
    with backend.new_database() as url:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "DATABASE_URL": url, "PORT": "0"}
        with first_start(environment, tmp_path) as (address, password):
            environment |= {"BASE": address, "PASSWORD": password}
            tour = steps("".join(script).replace(".venv/bin/", f"{BIN}/"))
            commands = "".join(f"{{ {each}\n}} 2>&1\nprintf '\\n--next--\\n'\n" for each, _ in tour)
            *answers, rest = run(["bash", "-c", commands], environment, tmp_path).split("--next--\n")
    assert rest == ""
    for (command, promised), answer in zip(tour, answers, strict=True):
        for part in promised:
            # MariaDB puts a space after each colon and comma.
            assert part in re.sub(r'(?<=")([:,]) ', r"\1", answer), f"{command}answered\n{answer}"
    assert sum(len(promised) for _, promised in tour) >= promises


def test_every_setting_is_in_the_table() -> None:
    table = re.findall(r"^\|([^|]*)\|", section(README, "Configuration"), re.MULTILINE)
    named = set(re.findall(r"`([A-Z_]+)`", "".join(table)))
    assert named == {name.upper() for name in Settings.model_fields if name not in RETIRED}


def test_every_module_and_folder_of_the_api_has_its_place_in_the_architecture() -> None:
    """A file in a folder needs none: its name says what it holds."""
    first_column = "".join(re.findall(r"^\| (`[^|]*)\|", section(README, "Architecture"), re.MULTILINE))
    named = set(re.findall(r"`(\w+(?:\.py|/))`", first_column))
    modules = {module.name for module in (ROOT / "api").glob("*.py")} - {"__init__.py"}
    folders = {f"{package.parent.name}/" for package in (ROOT / "api").glob("*/__init__.py")}
    assert named == modules | folders


def test_every_picture_is_there_and_small() -> None:
    pictures = re.findall(r'src="([^"]+)"', README)
    assert pictures
    assert all((ROOT / each).stat().st_size < 150_000 for each in pictures)


def test_the_commands_are_one_line_each() -> None:
    serve, demo, test = blocks(section(README, "Two commands"), "sh")
    assert serve.count("\n") == demo.count("\n") == test.count("\n") == 1
    assert "python -m api" in serve
    assert "python -m api demo" in demo
    assert "pytest" in test
