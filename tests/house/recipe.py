"""The recipe "Add an entity" of CONTRIBUTING, followed in a copy of the project."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.house.documents import blocks, run, section
from tests.support import ROOT

RECIPE = section((ROOT / ".github" / "CONTRIBUTING.md").read_text(), "Add an entity")

FAMILY = "api/models/review.py"
ROUTER = "api/routers/reviews.py"
TESTS = "tests/routes/reviews/test_reviews.py"
FAMILIES = "api/models/__init__.py"
ROUTERS = "api/routers/__init__.py"
FACTORIES = "tests/factories.py"
WORLD = "tests/world.py"


def steps() -> Iterator[tuple[str, str, str]]:
    """Each file, whether it is new ("python") or changed ("diff"), and the text for it.

    The file is the last one that the recipe names before the text.
    """
    file = ""
    for told, language, text in re.findall(r"(.*?)^```(\w+)\n(.*?)^```", RECIPE, re.MULTILINE | re.DOTALL):
        file = [file, *re.findall(r"`([\w/]+\.py)`", told)][-1]
        if language in ("python", "diff"):
            yield file, language, text


def follow(shop: Path, without: str = "") -> None:
    """Take every step in a copy of the project, but those for the file `without`."""
    for file, language, text in steps():
        path = shop / file
        if file == without:
            continue
        if language == "python":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        else:
            path.write_text(_changed(path.read_text(), text, file))


def migrate(shop: Path, environment: dict[str, str]) -> Path:
    """Make the migration and run it, and return its file."""
    (script,) = blocks(RECIPE, "sh")[:1]
    alembic = f"{sys.executable} -m alembic"
    for command in script.splitlines():
        run(["bash", "-c", command.replace(".venv/bin/alembic", alembic)], environment, shop)
    (revision,) = (shop / "migrations/versions").glob("*_add_reviews.py")
    return revision


def _changed(before: str, diff: str, file: str) -> str:
    """The text of a file with the lines in it that the diff adds between those that stand there."""
    lines = diff.splitlines(keepends=True)
    there = "".join(line[1:] for line in lines if not line.startswith("+")).removesuffix("\n")
    wanted = "".join(line[1:] or "\n" for line in lines).removesuffix("\n")
    assert before.count(there) == 1, f"{file} has these lines {before.count(there)} times, not once:\n{there}"
    return before.replace(there, wanted)
