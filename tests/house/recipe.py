"""The recipe "Add an entity" of CONTRIBUTING, followed in a copy of the project."""

import re
import sys
from pathlib import Path

from tests.house.documents import ROOT, blocks, run, section

RECIPE = section((ROOT / ".github" / "CONTRIBUTING.md").read_text(), "Add an entity")

FAMILY = "api/models/review.py"
ROUTER = "api/routers/reviews.py"
TESTS = "tests/routes/reviews/test_reviews.py"
FAMILIES = "api/models/__init__.py"
ROUTERS = "api/routers/__init__.py"
FACTORIES = "tests/factories.py"
WORLD = "tests/world.py"

LAST_ROW_OF_THE_WORLD = r"(?m)(?=^    await an_idempotency_key\()"


def steps() -> dict[str, str]:
    """The code that the recipe has for each file, which is the last one that it names before the code."""
    found: dict[str, str] = {}
    for text, code in re.findall(r"(.*?)^```python\n(.*?)^```", RECIPE, re.MULTILINE | re.DOTALL):
        found[re.findall(r"`([\w/]+\.py)`", text)[-1]] = code
    return found


def follow(shop: Path, without: str = "") -> None:
    """Take every step in a copy of the project, but the one for the file `without`."""
    for file, code in steps().items():
        if file == without:
            continue
        path = shop / file
        match file:
            case "api/models/__init__.py":
                _insert(path, r"(?m)^(?=    stock_movement,)", code)
            case "api/routers/__init__.py":
                _insert(path, r'(?m)(?<=^    "notifications",\n)', code)
            case "tests/factories.py":
                imported, builder = code.split("\n\n\n")
                _insert(path, r"(?m)^(?=from api\.models\.stock_movement)", f"{imported}\n")
                path.write_text(f"{path.read_text()}\n\n{builder}")
            case "tests/world.py":
                _insert(path, LAST_ROW_OF_THE_WORLD, f"{code}\n")
                _insert(path, r"(?m)^(?=    a_stock_movement,)", "    a_review,\n")
            case _:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(code)


def migrate(shop: Path, environment: dict[str, str]) -> Path:
    """Make the migration, and return its file; it goes down as well as up, and leaves nothing to do."""
    (script,) = blocks(RECIPE, "sh")[:1]
    alembic = f"{sys.executable} -m alembic"
    for command in [*script.splitlines(), ".venv/bin/alembic check", ".venv/bin/alembic downgrade -1"]:
        run(["bash", "-c", command.replace(".venv/bin/alembic", alembic)], environment, shop)
    (revision,) = (shop / "migrations/versions").glob("*_add_reviews.py")
    return revision


def _insert(file: Path, where: str, text: str) -> None:
    before = file.read_text()
    after, times = re.subn(where, lambda _: text, before, count=1)
    assert times == 1, f"{file} has no place for this:\n{text}"
    file.write_text(after)
