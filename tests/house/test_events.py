"""Every route that changes an order's status, pays, refunds, registers or erases tells exactly that; no other tells."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from fastapi import FastAPI
from sqlmodel import col, not_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.event import Event
from api.models.order import Order, OrderStatus
from api.models.payment import Payment
from api.models.refund import Refund
from api.models.user import User
from api.rules.order_status import EVENTS
from tests.house.access_matrix import Line, matrix
from tests.support import FreshSession
from tests.world import World

NEVER_TELLS = ("/docs", "/openapi.json")


class Shop(NamedTuple):
    """What events tell of, at one moment."""

    statuses: dict[int, OrderStatus]
    payments: set[int]
    refunds: dict[int, int]
    """The payment of each refund."""
    users: set[int]
    """Those who are not erased."""
    customers: set[int]


async def shop_now(session: AsyncSession) -> Shop:
    async def ids(model: Any, *where: Any) -> set[int]:
        return set((await session.exec(select(model.id).where(*where))).all())

    return Shop(
        dict((await session.exec(select(col(Order.id), col(Order.status)))).all()),
        await ids(Payment),
        dict((await session.exec(select(col(Refund.id), col(Refund.payment_id)))).all()),
        await ids(User, User.not_erased()),
        await ids(User, not_(col(User.is_superuser))),
    )


def expected(before: Shop, after: Shop) -> Iterator[tuple[str, str]]:
    """The type and the subject of each event that tells what became of a shop."""
    for order, status in after.statuses.items():
        if before.statuses.get(order) is not status:
            yield EVENTS[status].value, f"orders/{order}"
    yield from (("payment.received", f"payments/{each}") for each in after.payments - before.payments)
    yield from (
        ("payment.refunded", f"payments/{after.refunds[each]}") for each in after.refunds.keys() - before.refunds.keys()
    )
    yield from (("user.registered", f"users/{each}") for each in (after.users - before.users) & after.customers)
    yield from (("user.erased", f"users/{each}") for each in before.users - after.users)


def writes() -> Iterator[Any]:
    """Every route that writes, as each caller who may call it."""
    for line in matrix():
        if line.method != "GET" and not line.path.startswith(NEVER_TELLS):
            yield from (
                pytest.param(line, caller, id=f"{line} as {caller}")
                for caller, status in line.statuses.items()
                if status < 400
            )


@pytest.mark.parametrize(("line", "caller"), list(writes()))
async def test_a_route_tells_exactly_what_it_changed(
    app: FastAPI, database: Database, world: World, line: Line, caller: str
) -> None:
    await world.restore()
    async with FreshSession(database.engine) as session:
        before, known = await shop_now(session), set((await session.exec(select(Event.id))).all())
        await line.send(app, world, caller)
        after = await shop_now(session)
        events = (await session.exec(select(Event))).all()

    told = [(each.type.value, each.subject) for each in events if each.id not in known]
    assert sorted(told) == sorted(expected(before, after)), line
