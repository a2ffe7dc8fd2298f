"""The world of the tests has a row of every entity, its books are valid, and its ids can be told from all others."""

import re
from typing import Any

import pytest
from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table
from sqlmodel import delete, update

from api.commands.verify import verify
from api.models.tag import PostTag
from api.models.user import User
from tests import world as constants
from tests.world import World, missing_row

IDS = [value for name, value in vars(constants).items() if name.isupper() and isinstance(value, int)]


def test_every_entity_has_a_row_in_the_world(world: World) -> None:
    missing = world.missing_rows()
    assert not missing, "\n".join(missing)


def test_a_missing_row_is_named_with_the_line_to_add() -> None:
    metadata = MetaData()
    for name in ("users", "products"):
        Table(name, metadata, Column("id", Integer, primary_key=True))
    keys = {"product_id": "products.id", "author_id": "users.id"}
    columns = [Column(name, Integer, ForeignKey(parent)) for name, parent in keys.items()]
    reviews = Table("reviews", metadata, Column("id", Integer, primary_key=True), *columns)

    assert missing_row("review", reviews, taken=[9_000_001]) == (
        "reviews has no row in the world: add one line to `write_rows` in tests/world.py, "
        "such as `await factories.a_review(session, author=owner, product=product, id=9_100_001)`"
    )


async def test_the_books_of_the_world_are_valid(world: World) -> None:
    await world.restore()
    assert await verify(world.database)


def test_no_id_stands_for_two_rows() -> None:
    assert len(IDS) == len(set(IDS)), f"an id has two names: {sorted(IDS)}"


def test_an_id_of_a_request_is_of_the_form_9x0000y(world: World) -> None:
    """So that a test can replace each id by the id of a row that does not exist."""
    unfit = [value for value in IDS if not re.fullmatch(r"9\d0000\d", str(value))]
    assert not unfit, f"ids in tests/world.py that are not of the form 9x0000y: {unfit}"


class TestValuesInPaths:
    @pytest.mark.parametrize(
        ("path", "name", "expected"),
        [
            ("/tags/{id}", "id", constants.TAG),
            ("/products/{id}/movements", "id", constants.PRODUCT),
            ("/products/by-sku/{sku}", "sku", "WH-9"),
            ("/orders/user/{user_id}", "user_id", constants.OWNER),
            ("/auth/keys/{id}", "id", constants.KEY),
            ("/posts/{id}", "id", constants.PUBLISHED),
        ],
    )
    def test_a_parameter_is_the_column_of_the_row_in_the_table_of_the_path(
        self, world: World, path: str, name: str, expected: Any
    ) -> None:
        assert world.in_path(path, name) == expected

    def test_a_table_without_a_row_is_named(self, world: World) -> None:
        empty = World(world.database, {}, world._rows, world._rows)
        with pytest.raises(AssertionError, match="tags has no row in the world: add one line"):
            empty.in_path("/tags/{id}", "id")


async def test_a_changed_world_can_be_put_back(world: World) -> None:
    await world.restore()
    before = await world.contents()
    async with world.database.writes() as session, session.begin():
        await session.exec(delete(PostTag))
        await session.exec(update(User).values(bio="Changed."))
    assert await world.contents() != before, "the rows are as they were before the change"

    await world.restore()
    assert await world.contents() == before
