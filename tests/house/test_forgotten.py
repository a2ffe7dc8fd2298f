"""What can be forgotten when an entity is added: each time a test turns red that names the file and the line to add."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.house.documents import copy_of_the_project
from tests.house.recipe import FACTORIES, FAMILIES, FAMILY, ROUTER, ROUTERS, TESTS, WORLD, follow, migrate

pytestmark = pytest.mark.copies


@dataclass(frozen=True)
class Omission:
    """A step that is left out, or a piece of a file that is taken away; the tests that find it, and what they say."""

    file: str
    piece: str
    """A regular expression; empty for the whole step."""
    found_by: str
    says: str


HOUSE = "tests/house/test_%s.py"
OMISSIONS = {
    "the family": Omission(FAMILY, "", HOUSE % "families", r"cannot import name 'review' from .*api\.models"),
    "the router": Omission(ROUTER, "", HOUSE % "routers", r"No module named 'api\.routers\.reviews'"),
    "the tests": Omission(TESTS, "", HOUSE % "access", r"POST /reviews.*tests/routes/reviews/test_reviews\.py"),
    "the line of the family": Omission(FAMILIES, "", HOUSE % "families", r"api/models/__init__\.py.*`review,`"),
    "the line of the router": Omission(ROUTERS, "", HOUSE % "routers", r"api/routers/__init__\.py.*\"reviews\","),
    "the builder": Omission(FACTORIES, "", HOUSE % "factories", r"a_review.*tests/factories\.py"),
    "the row in the world": Omission(
        WORLD, "", HOUSE % "world", r"reviews.*tests/world\.py.*`await factories\.a_review"
    ),
    "the migration": Omission("", "", HOUSE % "migrations", r"alembic revision --autogenerate"),
    "a line of ACCESS": Omission(
        TESTS, r"POST   /reviews .*\n", HOUSE % "access", r"POST /reviews.*tests/routes/reviews/test_reviews\.py"
    ),
    "the ondelete": Omission(
        FAMILY, r', ondelete="CASCADE"(?=, index)', HOUSE % "tables", r"api/models/review\.py.*ondelete.*author_id"
    ),
    "the ondelete of an owner who is erased": Omission(
        FAMILY, r'(?<=ondelete=")CASCADE(?=", index)', HOUSE % "erasure", r"reviews\.author_id.*CASCADE.*KEPT_ROWS"
    ),
    "the index of a foreign key": Omission(
        FAMILY, r", index=True", HOUSE % "tables", r"api/models/review\.py.*index=True.*author_id"
    ),
    "the version": Omission(
        FAMILY,
        r", Versioned(?=, table)",
        f"{HOUSE % 'preconditions'}::TestRules",
        r"api/models/review\.py.*inherit from `Versioned`",
    ),
    "the maximum length of a text": Omission(
        FAMILY, r", max_length=2_000", HOUSE % "tables", r"api/models/review\.py.*max_length.*text"
    ),
    "the docstring of the router": Omission(
        ROUTER, r'\A""".*"""\n', HOUSE % "routers", r"api/routers/reviews\.py.*docstring"
    ),
}


PIECES = (
    "the ondelete",
    "the index of a foreign key",
    "the version",
    "the maximum length of a text",
    "the docstring of the router",
)
"""All of these are left out of one copy: none stops the tests of another, and a start takes seconds."""

LEFT_OUT = [PIECES, *((name,) for name in OMISSIONS if name not in PIECES)]

WITH_MIGRATION = {"the builder", "the row in the world", "the tests"}
"""Their tests look into the database; all others look at the code alone, and making a migration takes seconds."""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_the_project(tmp_path_factory.mktemp("forgotten"))


@pytest.mark.parametrize("names", LEFT_OUT, ids=", ".join)
def test_a_test_turns_red_and_names_the_file_and_the_line(names: tuple[str, ...], copy: Path, tmp_path: Path) -> None:
    shop = Path(shutil.copytree(copy, tmp_path / "shop"))
    environment = {**os.environ, "PYTHONPATH": str(shop), "DATABASE_URL": "sqlite:///shop.db", "COLUMNS": "400"}
    omissions = [OMISSIONS[name] for name in names]
    follow(shop, without="" if omissions[0].piece else omissions[0].file)
    if omissions[0].file == FACTORIES:  # without a builder nobody writes the row in the world
        shutil.copy(copy / WORLD, shop / WORLD)
    for omission in omissions:
        if omission.piece:
            file = shop / omission.file
            instead = "RESTRICT" if "erased" in names[0] else ""
            text, times = re.subn(omission.piece, instead, file.read_text(), count=1)
            assert times == 1, f"{omission.file} has no such piece: {omission.piece}"
            file.write_text(text)
    if WITH_MIGRATION.intersection(names):
        migrate(shop, environment)

    found_by = {each.found_by for each in omissions}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "--database", "sqlite", *found_by]
    done = subprocess.run(command, env=environment, cwd=shop, capture_output=True, text=True, timeout=300)

    in_a_test, while_collecting, at_the_start = 1, 2, 4
    assert done.returncode in {in_a_test, while_collecting, at_the_start}, (
        f"nothing turned red without {names}:\n{done.stdout}{done.stderr}"
    )
    for omission in omissions:
        assert re.search(omission.says, done.stdout + done.stderr), (
            f"no file and line is named, {omission.says}:\n{done.stdout}"
        )
