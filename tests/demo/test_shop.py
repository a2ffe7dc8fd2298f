"""What the demo's shop looks like: its books are right, its times are in order, and it has something of everything."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import inspect
from sqlmodel import SQLModel, col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.commands.verify import verify
from api.database.sessions import Database
from api.demo.arrivals import DAYS
from api.models.category import Category
from api.models.columns import Timestamp
from api.models.order import Order, OrderStatus
from api.models.order_event import OrderEvent
from api.models.payment import Payment, PaymentMethod
from api.models.post import Post, PostStatus
from api.models.product import Product
from api.models.refund import Refund
from api.models.stock_movement import StockMovement, StockReason
from api.models.tag import PostTag, Tag
from api.models.transaction import Transaction
from api.models.user import User
from tests.books import assert_balances_equal_transactions, assert_stock_equals_movements, rows_of
from tests.demo.support import SMALL, UNTIL, fill_small
from tests.seed import Seed
from tests.support import FreshSession


@pytest.fixture(scope="module")
async def shop(app: FastAPI, seed: Seed, anyio_backend: str) -> AsyncIterator[AsyncSession]:
    """Filled once: the tests of this module only read."""
    await seed.restore(app.state.database)
    async with FreshSession(app.state.database.engine) as session:
        await fill_small(app.state.database, session)
        yield session


@pytest.fixture
def database(app: FastAPI) -> Database:
    """With what is in it."""
    database: Database = app.state.database
    return database


async def count(session: AsyncSession, model: type[SQLModel], *conditions: Any) -> int:
    return (await session.exec(select(func.count()).select_from(model).where(*conditions))).one()


def stored_times(row: SQLModel) -> list[datetime]:
    columns = inspect(type(row)).local_table.columns
    times = [getattr(row, column.name) for column in columns if isinstance(column.type, Timestamp)]
    return [each for each in times if each is not None]


class TestShop:
    async def test_the_books_are_right(self, shop: AsyncSession, database: Database) -> None:
        assert await verify(database)
        await assert_stock_equals_movements(shop)
        await assert_balances_equal_transactions(shop)

    async def test_there_is_something_of_everything(self, shop: AsyncSession) -> None:
        assert await count(shop, Product) == SMALL.products
        assert await count(shop, User) == SMALL.customers + 1
        assert await count(shop, Order) == SMALL.orders
        for status in OrderStatus:
            assert await count(shop, Order, Order.status == status), f"no order is {status}"
        for method in PaymentMethod:
            assert await count(shop, Payment, Payment.method == method), f"nothing is paid by {method}"
        for reason in StockReason:
            assert await count(shop, StockMovement, StockMovement.reason == reason), f"no movement is of {reason}"
        for each in PostStatus:
            assert await count(shop, Post, Post.status == each), f"no post is {each}"
        in_part = [col(Payment.refunded_amount) > 0, Payment.refunded_amount < Payment.amount]
        assert await count(shop, Payment, *in_part)
        assert await count(shop, Payment, Payment.refunded_amount == Payment.amount)
        assert await count(shop, Order, Order.paid_amount < Order.total_amount, col(Order.paid_amount) > 0)
        assert await count(shop, Transaction, col(Transaction.order_id).is_(None)) > 1
        assert await count(shop, PostTag)
        assert await count(shop, Product, col(Product.is_active).is_(False))
        assert await count(shop, Product, col(Product.stock_quantity) == 0)

    async def test_categories_are_nested_in_three_levels(self, shop: AsyncSession) -> None:
        parents = dict((await shop.exec(select(Category.id, Category.parent_id))).all())
        used = (await shop.exec(select(Product.category_id).distinct())).all()
        assert len(used) > 20
        for leaf in used:
            assert leaf is not None
            shelf = parents[leaf]
            assert shelf is not None
            department = parents[shelf]
            assert department is not None
            assert parents[department] is None

    async def test_every_time_is_past_and_orders_are_of_90_days(self, shop: AsyncSession) -> None:
        for model in (Product, User, Order, OrderEvent, Payment, Refund, StockMovement, Transaction, Post, Tag):
            for row in await rows_of(shop, model):
                assert max(stored_times(row)) <= UNTIL, row
        for order in await rows_of(shop, Order):
            assert UNTIL - timedelta(days=DAYS) <= order.created_at <= order.updated_at

    async def test_times_rise_as_ids_do(self, shop: AsyncSession) -> None:
        """As they would in a shop: what is stored later happened later."""
        for model in (Order, OrderEvent, Payment, Refund, StockMovement, Transaction, Product, User, Post):
            times = [row.created_at for row in await rows_of(shop, model)]  # type: ignore[attr-defined]
            assert times == sorted(times), model.__name__

    async def test_an_order_follows_its_customer_a_payment_its_order_and_a_refund_its_payment(
        self, shop: AsyncSession
    ) -> None:
        joined = {user.id: user.created_at for user in await rows_of(shop, User)}
        placed = {}
        for order in await rows_of(shop, Order):
            assert joined[order.user_id] < order.created_at
            placed[order.id] = order.created_at
        paid = {}
        for payment in await rows_of(shop, Payment):
            assert placed[payment.order_id] < payment.created_at
            paid[payment.id] = payment.created_at
        for refund in await rows_of(shop, Refund):
            assert paid[refund.payment_id] < refund.created_at

    async def test_the_state_of_an_order_depends_on_its_age(self, shop: AsyncSession) -> None:
        old = UNTIL - timedelta(days=15)
        finished = (OrderStatus.DELIVERED, OrderStatus.CANCELLED)
        assert await count(shop, Order, Order.created_at < old, col(Order.status).not_in(finished)) == 0
        assert (
            await count(shop, Order, Order.created_at > UNTIL - timedelta(hours=20), Order.status == "delivered") == 0
        )

    async def test_a_customer_who_was_there_early_orders_most(self, shop: AsyncSession) -> None:
        orders = [order.user_id for order in await rows_of(shop, Order)]
        by_customer = sorted((orders.count(each) for each in set(orders)), reverse=True)
        assert by_customer[0] > 3 * SMALL.orders / SMALL.customers

    async def test_prices_end_as_prices_do(self, shop: AsyncSession) -> None:
        endings = {product.price % 1 for product in await rows_of(shop, Product)}
        assert endings <= {Decimal(each) / 100 for each in (0, 49, 50, 90, 95, 99)}

    async def test_customers_have_no_password(self, shop: AsyncSession) -> None:
        assert await count(shop, User, col(User.is_superuser).is_(False), User.hashed_password != "") == 0
