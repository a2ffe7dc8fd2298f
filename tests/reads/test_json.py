"""The JSON that a database writes of a row: the same that FastAPI writes of the same row, but for white space."""

import json
from collections.abc import Iterator
from decimal import Decimal
from inspect import signature
from typing import Any, get_args

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from httpx import AsyncClient
from pydantic import BaseModel, TypeAdapter
from sqlalchemy import Select, inspect
from sqlalchemy.orm import selectinload
from sqlmodel import SQLModel, and_, bindparam, col, select, text, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.drivers import DriverConnection
from api.database.sessions import Database
from api.database.statements import Statement
from api.main import create_app
from api.models.account import Account, AccountRead, ShopAccount
from api.models.category import Category, CategoryTree
from api.models.order import MAX_LINES, Order, OrderReadWithDetails, OrderReadWithItems
from api.models.post import Post, PostRead
from api.models.product import Product, ProductRead, ProductReadWithCategory
from api.reads.json_expressions import AMOUNT, VALUES, json_of_row
from api.reads.rows import Read, json_list, read_one
from api.settings import Settings
from tests.factories import a_category, a_post, a_product, a_tag, a_user, an_order
from tests.odd_values import products_with_odd_values
from tests.seed import Seed
from tests.world import World


class All(Read):
    """All rows that a statement finds, as a list."""

    async def run(self, connection: DriverConnection, response_model: Any) -> bytes:
        (read,) = get_args(response_model)
        return json_list(await self.rows(connection, read))


def read_all(statement: Select[Any]) -> All:
    return All(statement, {})


def parsed(text: bytes) -> Any:
    """With the order of the fields, and numbers to the last digit."""
    return json.loads(text, object_pairs_hook=list, parse_float=Decimal)


def read_classes() -> set[type[BaseModel]]:
    """Of all routes whose answer the database writes, but for the tree, which has a test of its own."""
    app = create_app(Settings(_env_file=None))
    routes = (route for route in app.routes if isinstance(route, APIRoute))
    reads = (route.response_model for route in routes if signature(route.endpoint).return_annotation is Read)
    return {each for answer in reads for each in classes_in(answer)} - {CategoryTree}


def classes_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """`ProductRead` of `Page[ProductRead] | CursorPage[ProductRead]`, and of itself."""
    generic = getattr(annotation, "__pydantic_generic_metadata__", {"args": ()})["args"]
    inner = generic or get_args(annotation)
    if inner:
        for each in inner:
            yield from classes_in(each)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation


def model_of(read: type[BaseModel]) -> Any:
    """`Product` of `ProductReadWithCategory`: the table class that its name begins with."""
    models: list[Any] = [
        each.class_ for each in SQLModel._sa_registry.mappers if read.__name__.startswith(each.class_.__name__)
    ]
    return max(models, key=lambda each: len(str(each.__name__)))


def loading(model: Any, read: type[BaseModel]) -> list[Any]:
    """What a session has to load for a Read class."""
    options = []
    for name, field in read.model_fields.items():
        if name in inspect(model).relationships:
            target = inspect(model).relationships[name].mapper.class_
            (inner,) = classes_in(field.annotation)
            options.append(selectinload(getattr(model, name)).options(*loading(target, inner)))
    return options


async def assert_alike(database: Database, session: AsyncSession, model: Any, read: type[BaseModel]) -> None:
    ordered = select(model).order_by(*inspect(model).primary_key)
    rows = (await session.exec(ordered.options(*loading(model, read)))).unique().all()
    assert rows, f"there is no {model.__name__} to compare"
    adapter = TypeAdapter(list[read])  # type: ignore[valid-type]
    expected = adapter.dump_json(adapter.validate_python(rows, from_attributes=True))

    async with database.connection() as connection:
        written = await read_all(ordered).run(connection, list[read])  # type: ignore[valid-type]

    assert parsed(written) == parsed(expected)


@pytest.mark.parametrize("read", sorted(read_classes(), key=str), ids=lambda each: str(each.__name__))
async def test_every_read_class_is_written_alike(
    database: Database, session: AsyncSession, seed: Seed, read: type[BaseModel]
) -> None:
    await World.write(database, seed)

    await assert_alike(database, session, model_of(read), read)


class TestOddValues:
    async def test_products_with_odd_values_are_written_alike(self, database: Database, session: AsyncSession) -> None:
        await products_with_odd_values(session)

        await assert_alike(database, session, Product, ProductReadWithCategory)

    async def test_an_order_of_many_lines_keeps_their_order(self, database: Database, session: AsyncSession) -> None:
        products = [await a_product(session, stock_quantity=5) for _ in range(30)]
        order = await an_order(session, await a_user(session), *((each, 1) for each in reversed(products)))

        async with database.connection() as connection:
            (written,) = json.loads(await read_all(select(Order)).run(connection, list[OrderReadWithItems]))

        ids = [line["id"] for line in written["items"]]
        assert written["id"] == order.id
        assert len(ids) == 30
        assert ids == sorted(ids)

    async def test_an_order_of_a_hundred_long_products_is_whole(
        self, database: Database, session: AsyncSession
    ) -> None:
        """MySQL would make null of a list that is longer than a limit."""
        longest: dict[str, Any] = {"description": "é" * 5_000, "attributes": {"text": "x" * 9_900}}
        products = [await a_product(session, stock_quantity=5, **longest) for _ in range(MAX_LINES)]
        await an_order(session, await a_user(session), *((each, 1) for each in products))

        async with database.connection() as connection:
            (written,) = json.loads(await read_all(select(Order)).run(connection, list[OrderReadWithDetails]))

        assert len(written["items"]) == MAX_LINES
        assert {line["product"]["description"] for line in written["items"]} == {"é" * 5_000}

    async def test_amounts_below_zero_and_unknown_ones_are_written_as_they_are(
        self, database: Database, session: AsyncSession
    ) -> None:
        issued = (await session.exec(select(Account).where(Account.name == ShopAccount.ISSUED))).one()
        await session.exec(update(Account).where(col(Account.id) == issued.id).values(balance=Decimal("-0.05")))
        kind = VALUES[database.backend][AMOUNT]

        async with database.connection() as connection:
            written = json.loads(await read_all(select(Account)).run(connection, list[AccountRead]))
            ((unknown,),) = await connection.fetch(Statement(text(f"SELECT {kind.format('NULL')}")))

        assert "-0.05" in {account["balance"] for account in written}
        assert unknown is None

    async def test_a_list_of_ids_of_any_length_finds_its_rows(self, database: Database, session: AsyncSession) -> None:
        """Statements that differ in the length of a list only have one plan."""
        products = [await a_product(session) for _ in range(4)]
        for wanted in ([products[0]], products[1:], [], products[2:]):
            chosen = select(Product).where(col(Product.id).in_([each.id for each in wanted])).order_by(col(Product.id))

            async with database.connection() as connection:
                written = json.loads(await read_all(chosen).run(connection, list[ProductRead]))

            assert [each["id"] for each in written] == [each.id for each in wanted]

    async def test_posts_list_their_tags_by_name(self, database: Database, session: AsyncSession) -> None:
        await a_post(session, tags=[await a_tag(session, name) for name in ("Reviews", "Audio", "Zoo")])
        await a_post(session, tags=[])

        await assert_alike(database, session, Post, PostRead)


def test_a_field_that_is_neither_column_nor_relationship_is_named(app: FastAPI) -> None:
    class ProductReadWithRating(ProductRead):
        rating: int

    database: Database = app.state.database
    with pytest.raises(TypeError, match=r"ProductReadWithRating\.rating is no column and no relationship of Product"):
        json_of_row(ProductReadWithRating, Product, database.engine.dialect)


def test_a_relationship_with_a_condition_of_its_own_is_refused(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be left out, and rows be shown that the relationship hides."""
    category = inspect(Product).relationships["category"]
    monkeypatch.setattr(category, "primaryjoin", and_(category.primaryjoin, col(Category.name) != "hidden"))
    with pytest.raises(TypeError, match=r"Product\.category has a condition beside its foreign key"):
        json_of_row(ProductReadWithCategory, Product, app.state.database.engine.dialect)


async def test_a_parameter_without_a_value_is_an_error_and_not_null(database: Database) -> None:
    async with database.connection() as connection:
        with pytest.raises(KeyError):
            await read_one(select(Product).where(Product.id == bindparam("id"))).run(connection, ProductRead)


async def test_the_tree_nests_every_category_once(
    database: Database, session: AsyncSession, client: AsyncClient
) -> None:
    parent = await a_category(session, "Audio")
    child = await a_category(session, "Headphones", parent_id=parent.id)
    await a_category(session, "In-ear", parent_id=child.id)

    tree = (await client.get("/categories/tree")).json()

    audio = next(each for each in tree if each["name"] == "Audio")
    assert list(audio) == list(CategoryTree.model_fields)
    assert [each["name"] for each in audio["children"]] == ["Headphones"]
    assert [each["name"] for each in audio["children"][0]["children"]] == ["In-ear"]
    assert audio["children"][0]["children"][0]["children"] == []
