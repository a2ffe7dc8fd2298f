"""Every entity has a builder in `tests/factories.py`, and whatever the builders make, the books are valid."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlmodel import SQLModel, col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

import api.models
from api.commands.verify import verify
from api.database.sessions import Database
from api.models.account import Account
from api.models.base import noun_of, with_article
from api.models.order import Order, OrderStatus
from api.models.order_event import OrderEvent
from api.models.payment import PaymentMethod, PaymentStatus
from api.models.stock_movement import StockMovement
from api.models.tag import PostTag
from tests import factories
from tests.factories import (
    a_payment,
    a_post,
    a_product,
    a_refund,
    a_stock_movement,
    a_tag,
    a_transaction,
    a_user,
    an_account,
    an_order,
    an_order_event,
    an_order_item,
)


def entities(parent: type[SQLModel] = SQLModel) -> Iterator[type[SQLModel]]:
    """The table classes of the app."""
    for child in parent.__subclasses__():
        if hasattr(child, "__table__") and child.__module__.startswith(api.models.__name__):
            yield child
        yield from entities(child)


ENTITIES = {entity.__name__: entity for entity in entities()}


def builder(entity: type[SQLModel]) -> Any:
    """The builder of an entity: `a_product` of `Product`, `an_order` of `Order`."""
    name = with_article(noun_of(entity)).replace(" ", "_")
    line = f"async def {name}(session, **fields)"
    assert hasattr(factories, name), f"{entity.__name__} has no builder: add `{line}` to tests/factories.py"
    return getattr(factories, name)


@pytest.mark.parametrize("entity", ENTITIES)
def test_every_entity_has_a_builder(entity: str) -> None:
    assert builder(ENTITIES[entity])


def test_a_missing_builder_is_named_with_the_line_to_add() -> None:
    line = re.escape("Gadget has no builder: add `async def a_gadget(session, **fields)` to tests/factories.py")

    class Gadget(SQLModel):
        """An entity that nobody has added."""

    with pytest.raises(AssertionError, match=line):
        builder(Gadget)


@pytest.mark.parametrize("entity", ENTITIES)
async def test_a_builder_needs_nothing_but_the_session_and_keeps_the_books(
    entity: str, session: AsyncSession, database: Database
) -> None:
    table = ENTITIES[entity]

    made = [await builder(ENTITIES[entity])(session) for _ in range(2)]

    rows = [each[1] if isinstance(each, tuple) else each for each in made]  # a token comes with its secret
    assert all(isinstance(row, table) for row in rows)
    found = (await session.exec(select(table))).all()
    assert all(row in found for row in rows)
    assert await verify(database)


async def test_what_all_builders_made_together_is_valid(session: AsyncSession, database: Database) -> None:
    for entity in ENTITIES:
        await builder(ENTITIES[entity])(session)

    assert await verify(database)
    for entity, table in ENTITIES.items():
        assert (await session.exec(select(func.count()).select_from(table))).one(), f"there is no {entity}"


@pytest.mark.parametrize("status", OrderStatus)
@pytest.mark.parametrize("method", PaymentMethod)
async def test_an_order_is_valid_in_every_status_whatever_was_paid_and_refunded(
    status: OrderStatus, method: PaymentMethod, session: AsyncSession, database: Database
) -> None:
    user, plenty, short = await a_user(session), await a_product(session, stock_quantity=10), await a_product(session)
    order = await an_order(session, user, (plenty, 2), (short, 3), paid_amount="1.00")
    await an_order_item(session, order, quantity=4)
    await a_refund(session, await a_payment(session, order, "20.00", method), "7.50")
    await a_payment(session, order, method=method)
    for step in factories.STEPS_TO[status]:
        await an_order_event(session, order, step)

    assert await verify(database)
    is_cancelled = status is OrderStatus.CANCELLED
    assert (order.status, order.total_amount, order.paid_amount) == (status, 9 * Decimal("9.99"), order.total_amount)
    assert (plenty.stock_quantity, short.stock_quantity) == ((10, 3) if is_cancelled else (8, 0))


@pytest.mark.parametrize("status", OrderStatus)
async def test_all_rows_of_a_past_order_have_its_date(
    status: OrderStatus, session: AsyncSession, database: Database
) -> None:
    moment = (await a_user(session)).created_at.replace(year=2020, day=1)

    order = await an_order(session, status=status, paid_amount="100.00", created_at=moment)

    assert await verify(database)
    assert (order.status, order.created_at) == (status, moment)
    for table in (Order, OrderEvent, StockMovement):
        assert set((await session.exec(select(col(table.created_at)))).all()) == {moment}


async def test_a_refund_of_the_whole_payment_makes_it_refunded(session: AsyncSession) -> None:
    payment = await a_payment(session, amount="40.00")

    await a_refund(session, payment, "15.00")
    assert payment.status is PaymentStatus.COMPLETED
    await a_refund(session, payment)

    assert (payment.status, payment.refunded_amount) == (PaymentStatus.REFUNDED, Decimal("40.00"))


async def test_balances_follow_transactions(session: AsyncSession, database: Database) -> None:
    first, second = await an_account(session, balance="50.00"), await an_account(session)

    await a_transaction(session, first, second, "20.00")

    assert await verify(database)
    assert (first.balance, second.balance) == (Decimal("30.00"), Decimal("20.00"))
    issued = select(col(Account.balance)).where(Account.name == "Issued credit")
    assert (await session.exec(issued)).one() == Decimal("-50.00")


async def test_stock_follows_its_movements_as_the_database_has_it(session: AsyncSession, database: Database) -> None:
    product = await a_product(session, stock_quantity=5)

    await a_stock_movement(session, product, -2)
    await a_stock_movement(session, product, 4)

    assert await verify(database)
    assert product.stock_quantity == 7


async def test_a_post_is_published_with_its_tags(session: AsyncSession) -> None:
    vinyl, audio = await a_tag(session, "Vinyl"), await a_tag(session, "Audio")

    post = await a_post(session, tags=[vinyl, audio])

    tags = (await session.exec(select(PostTag.tag_id).where(PostTag.post_id == post.id))).all()
    assert set(tags) == {vinyl.id, audio.id}
    assert post.published_at is not None


async def test_a_column_that_does_not_exist_is_refused(session: AsyncSession) -> None:
    with pytest.raises(TypeError, match=r"User has no column is_activ$"):
        await a_user(session, is_activ=False)


async def test_a_builder_refuses_what_would_break_the_books(session: AsyncSession) -> None:
    cancelled = await an_order(session, status=OrderStatus.CANCELLED)

    with pytest.raises(AssertionError, match="a cancelled order cannot be paid"):
        await a_payment(session, cancelled)
    with pytest.raises(AssertionError, match="only a pending order gets another line"):
        await an_order_item(session, cancelled)
    with pytest.raises(AssertionError, match="an order with the status cancelled cannot change to shipped"):
        await an_order_event(session, cancelled, OrderStatus.SHIPPED)
