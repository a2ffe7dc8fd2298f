"""Answers: they are written exactly as FastAPI writes what it has validated."""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter
from sqlalchemy.exc import InvalidRequestError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.category import Category, CategoryRead, CategoryTree
from api.models.order import Order, OrderReadWithDetails, OrderReadWithItems
from api.models.order_item import OrderItem
from api.models.post import Post, PostRead
from api.models.product import Product, ProductReadWithCategory
from api.models.user import User, UserRead
from api.reads.answers import json_of, json_values_of
from api.web.loading import join_one, load_many
from api.web.pagination import CursorPage, Page
from tests.factories import a_category, a_post, a_product, a_tag, a_user, an_order
from tests.odd_values import ODD_TEXTS, ODD_TIMES, PRICES, products_with_odd_values


def as_fastapi_writes(model: Any, rows: Any) -> bytes:
    """What FastAPI makes of a route's answer: validated by the model, then written."""
    adapter = TypeAdapter(model)
    return adapter.dump_json(adapter.validate_python(rows, from_attributes=True))


def assert_alike(model: Any, rows: Sequence[Any]) -> None:
    assert rows, "there is nothing to compare"
    for row in rows:
        assert json_of(row, model) == as_fastapi_writes(model, row)
        assert json_values_of(row, model) == json.loads(json_of(row, model))
    assert json_of(rows, list[model]) == as_fastapi_writes(list[model], rows)


class TestOddValues:
    async def test_products_with_odd_values_are_written_alike(self, session: AsyncSession) -> None:
        await products_with_odd_values(session)
        products = select(Product).options(join_one(Product.category)).order_by(col(Product.id))

        assert_alike(ProductReadWithCategory, (await session.exec(products)).all())

    async def test_users_with_and_without_values_are_written_alike(self, session: AsyncSession) -> None:
        await a_user(session, is_active=False, full_name=None, bio="", last_login_at=ODD_TIMES[1])
        await a_user(session, is_superuser=True, full_name="Ünïcödé 🎧", bio=f"x{ODD_TEXTS[3]}x", last_login_at=None)

        assert_alike(UserRead, (await session.exec(select(User).order_by(col(User.id)))).all())

    async def test_orders_with_lines_and_details_are_written_alike(self, session: AsyncSession) -> None:
        products = [await a_product(session, price=price, stock_quantity=5) for price in PRICES[:3]]
        await an_order(session, await a_user(session), *((each, 2) for each in products), shipping_address="1\n2")
        with_details = (
            join_one(Order.user),
            load_many(Order.items, join_one(OrderItem.product)),
        )
        orders = (await session.exec(select(Order).options(*with_details))).unique().all()

        assert_alike(OrderReadWithItems, orders)
        assert_alike(OrderReadWithDetails, orders)

    async def test_posts_with_tags_are_written_alike(self, session: AsyncSession) -> None:
        await a_post(session, tags=[await a_tag(session, "Reviews"), await a_tag(session, "Audio")])
        await a_post(session, tags=[])
        posts = select(Post).options(join_one(Post.author), load_many(Post.tags)).order_by(col(Post.id))

        assert_alike(PostRead, (await session.exec(posts)).unique().all())

    def test_a_tree_is_written_alike(self) -> None:
        now = ODD_TIMES[1]
        leaf, branch = (
            CategoryTree(id=number, name="x", slug="x", created_at=now, updated_at=now) for number in (1, 2)
        )
        branch.children.append(leaf)

        assert_alike(CategoryTree, [branch])

    @pytest.mark.parametrize("page", [Page, CursorPage])
    async def test_a_page_of_either_kind_is_written_alike(self, session: AsyncSession, page: Any) -> None:
        await a_category(session, "Audio")
        rows = (await session.exec(select(Category))).all()
        place = dict.fromkeys(page.model_fields.keys() - {"items", "has_next", "has_previous", "next_cursor"}, 1)
        flags = dict.fromkeys(page.model_fields.keys() & {"has_next", "has_previous"}, True)
        cursor = {"next_cursor": None} if page is CursorPage else {}
        answer = page(items=rows, **place, **flags, **cursor)
        one = Page[CategoryRead] if page is Page else CursorPage[CategoryRead]

        assert json_of(answer, Page[CategoryRead] | CursorPage[CategoryRead]) == as_fastapi_writes(one, answer)


class TestSecrets:
    async def test_only_the_fields_of_the_read_class_are_written(self, session: AsyncSession) -> None:
        user = await a_user(session)

        written = json.loads(json_of(user, UserRead))

        assert list(written) == list(UserRead.model_fields)
        assert "hashed_password" not in written

    async def test_a_relationship_that_was_not_loaded_raises(self, session: AsyncSession) -> None:
        await a_product(session)
        session.expunge_all()
        product = (await session.exec(select(Product))).one()

        with pytest.raises(InvalidRequestError, match="lazy='raise'"):
            json_of(product, ProductReadWithCategory)


def test_no_class_of_an_answer_has_what_only_a_model_would_write(app: FastAPI) -> None:
    """Aliases, computed fields and serializers of a model would be left out."""
    for route in app.routes:
        for model in classes_in(route.response_model) if isinstance(route, APIRoute) else ():
            assert not model.model_computed_fields, model
            assert not model.__pydantic_decorators__.field_serializers, model
            assert not model.__pydantic_decorators__.model_serializers, model
            assert not [name for name, field in model.model_fields.items() if field.alias or field.exclude], model


def classes_in(annotation: Any) -> set[type[BaseModel]]:
    """The classes of an answer, with those of their fields."""
    found: set[type[BaseModel]] = set()
    waiting = [annotation]
    while waiting:
        each = waiting.pop()
        waiting += getattr(each, "__args__", ())
        if isinstance(each, type) and issubclass(each, BaseModel) and each not in found:
            found.add(each)
            waiting += [field.annotation for field in each.model_fields.values()]
    return found


def test_a_class_of_one_field_is_written_with_what_it_holds() -> None:
    class Inner(BaseModel):
        name: str

    class Outer(BaseModel):
        inner: Inner | None

    assert json_of(Outer(inner=Inner(name="x")), Outer) == b'{"inner":{"name":"x"}}'
    assert json_of(Outer(inner=None), Outer) == b'{"inner":null}'


def test_amounts_are_written_with_two_places() -> None:
    class Sum(BaseModel):
        total: Decimal

    assert json_of(Sum(total=Decimal("0.10")), Sum) == b'{"total":"0.10"}'
