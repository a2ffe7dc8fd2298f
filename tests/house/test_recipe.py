"""The recipe for an entity works as it stands in CONTRIBUTING: it is followed in a copy of the project."""

import os
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.house.documents import copy_of_the_project, run
from tests.house.recipe import FACTORIES, FAMILIES, FAMILY, ROUTER, ROUTERS, TESTS, WORLD, follow, migrate, steps

RUFF = [sys.executable, "-m", "ruff"]

PYTEST = [sys.executable, "-m", "pytest", "-q"]
OF_OTHERS = [
    *("EveryRoute", "hostile", "valid_requests", "idempotency_keys", "preconditions", "migrated_rows"),
    *("test_recipe", "test_readme", "test_requirements"),
]
"""Tests with a case for each route, of which the cases of reviews are run, and tests of other things."""

TESTED = ["tests/routes/reviews", "tests/house", "tests/openapi/test_document.py"]

SHOW_ADMIN = """
from api.admin.entities import Entities
from api.admin.fields import fields_of
from api.main import app

entities = Entities(app)
reviews = entities["reviews"]
print(*(each.name for each in reviews.list_columns))
for route in (reviews.create, reviews.update):
    print(f"{route.method} {route.path}:", *(each.key for each in fields_of(route.body, entities, reviews)))
print(reviews.delete.method, reviews.delete.path)
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which the recipe was followed."""
    shop = copy_of_the_project(tmp_path_factory.mktemp("recipe"))
    follow(shop)
    return shop


@pytest.fixture(scope="module")
def environment(shop: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(shop), "DATABASE_URL": "sqlite:///shop.db"}


@pytest.fixture(scope="module")
def revision(shop: Path, environment: dict[str, str]) -> Path:
    return migrate(shop, environment)


def test_the_recipe_takes_three_new_files_one_line_in_two_registries_a_builder_and_a_row() -> None:
    new = [file for file, language, _ in steps() if language == "python"]
    added = Counter(file for file, language, text in steps() for line in text.splitlines() if line.startswith("+"))
    assert new == [FAMILY, ROUTER, TESTS]
    assert added.keys() == {FAMILIES, ROUTERS, FACTORIES, WORLD}
    assert added[FAMILIES] == added[ROUTERS] == added[WORLD] == 1


def test_the_generated_revision_and_the_new_code_pass_the_checks(
    shop: Path, environment: dict[str, str], revision: Path
) -> None:
    assert "uq_reviews_product_id_author_id" in revision.read_text()
    changed = [str(revision), *(str(shop / file) for file, *_ in steps())]
    run([*RUFF, "check", *changed], environment, shop)
    run([*RUFF, "format", "--check", *changed], environment, shop)
    for command in (["check"], ["downgrade", "-1"]):
        run([sys.executable, "-m", "alembic", *command], environment, shop)


def test_the_tests_of_the_new_entity_pass_on_sqlite(shop: Path, environment: dict[str, str], revision: Path) -> None:
    assert "passed" in run([*PYTEST, "-n", "0", "--database", "sqlite", "tests/routes/reviews"], environment, shop)


def test_the_new_entity_is_exported_without_a_line_written_for_it(
    shop: Path, environment: dict[str, str], revision: Path
) -> None:
    run([sys.executable, "-m", "alembic", "upgrade", "head"], environment, shop)
    exported = run([sys.executable, "-m", "api", "export", "reviews"], environment, shop)
    assert exported.strip("\ufeff\r\n") == "rating,text,id,product_id,author_id,created_at,updated_at"


def test_the_admin_has_the_lists_and_forms_of_the_new_entity(shop: Path, environment: dict[str, str]) -> None:
    """Without a line written for it."""
    shown = run([sys.executable, "-c", SHOW_ADMIN], environment, shop).splitlines()
    assert shown == [
        "rating product_id author_id created_at",
        "POST /reviews: rating product_id text",
        "PATCH /reviews/{id}: rating text",
        "DELETE /reviews/{id}",
    ]


@pytest.mark.copies
def test_what_concerns_the_new_entity_passes_on_every_database(
    shop: Path, environment: dict[str, str], revision: Path
) -> None:
    which = ["-n", "0", "--all", "-m", "not fuzz and not faults and not copies", "-k", "reviews"]
    assert "passed" in run([*PYTEST, *which, *TESTED], environment, shop, 900)


@pytest.mark.copies
def test_all_tests_of_the_house_pass_with_the_new_entity(
    shop: Path, environment: dict[str, str], revision: Path
) -> None:
    """On one database: the others would tell the same of the entities that were there before."""
    others = f"not reviews and not ({' or '.join(OF_OTHERS)})"
    which = ["-n", "0", "--database", "sqlite", "-m", "not fuzz and not faults and not copies", "-k", others]
    assert "passed" in run([*PYTEST, *which, *TESTED], environment, shop, 900)
