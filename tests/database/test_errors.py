"""What an error of a database means: which refusal each has, and which errors are the shop's own mistakes."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError
from sqlmodel import SQLModel, col, delete, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.errors import refusal_for
from api.database.sessions import Database
from api.errors import Conflict, ShopError, Unprocessable
from api.models.account import Account
from api.models.category import Category
from api.models.order import Order
from api.models.product import Product
from api.models.user import User
from tests.databases import Backend
from tests.factories import a_category, a_payment, a_product, an_order
from tests.support import PASSWORD_HASH, save

Write = Callable[[AsyncSession, User], Awaitable[Any]]
"""Writes rows, some of which belong to the user, and breaks a constraint."""


def product(**fields: Any) -> Product:
    """A row that is not written yet: the write is what fails."""
    return Product(**{"name": "Lamp", "slug": "lamp", "sku": "LAMP", "price": Decimal(1), **fields})


def saving(*rows: Callable[[User], SQLModel]) -> Write:
    async def write(session: AsyncSession, user: User) -> None:
        for row in rows:
            await save(session, row(user))

    return write


async def delete_a_user_with_an_order(session: AsyncSession, user: User) -> None:
    await an_order(session, user)
    await session.exec(delete(User).where(col(User.id) == user.id))


async def give_two_rows_one_id(session: AsyncSession, user: User) -> None:
    for name in ("one", "two"):
        session.add(Category(id=1_000_000, name=name, slug=name))
        await session.flush()
        session.expunge_all()


async def set_a_name_to_null(session: AsyncSession, user: User) -> None:
    await a_product(session)
    await session.exec(update(Product).values(name=None))


async def use_a_reference_twice(session: AsyncSession, user: User) -> None:
    order = await an_order(session, user)
    for _ in range(2):
        await a_payment(session, order, "1.00", reference="for key 'x'")


async def use_a_name_twice_in_a_category(session: AsyncSession, user: User) -> None:
    category = await a_category(session)
    for _ in range(2):
        await a_product(session, "Lamp", category)


BROKEN_REFERENCE = "The request refers to a row that does not exist, or another row still refers to this one."
CONFLICT = "The request conflicts with existing data."

VIOLATIONS: dict[str, tuple[Write, str]] = {
    "a duplicate SKU": (
        saving(lambda _: product(), lambda _: product(slug="other")),
        "A product with this sku already exists.",
    ),
    "a duplicate username": (
        saving(lambda user: User(username=user.username, email="other@example.com", hashed_password=PASSWORD_HASH)),
        "A user with this username already exists.",
    ),
    "a duplicate name within a category": (
        use_a_name_twice_in_a_category,
        "A product with this category_id and name already exists.",
    ),
    "a duplicate reference": (use_a_reference_twice, "A payment with this method and reference already exists."),
    "a second account of a user": (
        saving(*(lambda user, name=name: Account(name=name, user_id=user.id) for name in "ab")),
        "An account with this user_id already exists.",
    ),
    "a duplicate id": (give_two_rows_one_id, CONFLICT),
    "an owner that does not exist": (
        saving(lambda _: Order(user_id=1_000_000, total_amount=Decimal(1))),
        BROKEN_REFERENCE,
    ),
    "a deleted user with an order": (delete_a_user_with_an_order, BROKEN_REFERENCE),
    "a balance below zero": (
        saving(lambda user: Account(name="a", user_id=user.id, balance=Decimal(-1))),
        CONFLICT,
    ),
}


async def refusal_of(database: Database, write: Write, user: User) -> ShopError | None:
    """The refusal for the error that a write causes."""
    with pytest.raises(DBAPIError) as caught:
        async with database.writes() as session, session.begin():
            await write(session, user)
    return refusal_for(caught.value)


class TestRefusal:
    @pytest.mark.parametrize(("write", "detail"), VIOLATIONS.values(), ids=VIOLATIONS)
    async def test_a_violated_constraint_has_the_same_refusal_on_every_database(
        self, database: Database, customer: User, write: Write, detail: str
    ) -> None:
        refused = await refusal_of(database, write, customer)

        assert isinstance(refused, Conflict)
        assert refused.detail == detail

    @pytest.mark.parametrize(
        "write",
        [
            saving(lambda _: product(name="x" * 201)),
            saving(lambda _: product(stock_quantity=2**63)),
        ],
        ids=["a text that is too long", "a number beyond 64 bits"],
    )
    async def test_a_value_that_the_database_cannot_store_is_unprocessable(
        self, database: Database, backend: Backend, customer: User, write: Write
    ) -> None:
        if backend.name == "sqlite":
            pytest.skip("SQLite stores text and numbers of any length in any column")

        assert isinstance(await refusal_of(database, write, customer), Unprocessable)

    async def test_a_mistake_in_the_code_has_no_refusal(self, database: Database, customer: User) -> None:
        async def read_an_unknown_table(session: AsyncSession, user: User) -> None:
            await (await session.connection()).exec_driver_sql("SELECT nothing FROM nowhere")

        assert await refusal_of(database, read_an_unknown_table, customer) is None

    async def test_a_null_where_there_is_none_is_a_mistake_in_the_code(
        self, database: Database, customer: User
    ) -> None:
        """Or of a column that only another release knows. A client's null is refused before."""
        assert await refusal_of(database, set_a_name_to_null, customer) is None
