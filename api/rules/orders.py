"""Orders as the rules read them: as they are now, within the transaction."""

from typing import Any

from sqlmodel import bindparam, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.connections import driver_of
from api.database.statements import Statement
from api.models.base import utcnow
from api.models.order import Order, StoredOrder
from api.reads.plain import PlainStatement

ORDER_BY_ID = PlainStatement(select(Order).where(Order.id == bindparam("order_id")), StoredOrder)


async def change_order(
    session: AsyncSession, order_id: int, change: Statement, **values: Any
) -> tuple[bool, StoredOrder]:
    """Run a conditional UPDATE of an order, and return whether it changed the order, and the order as it is then.

    Raises:
        NotFound: There is none.
    """
    driver = await driver_of(session)
    read = ORDER_BY_ID.statement
    changed, found = await driver.together(
        (change, {"order_id": order_id, "now": utcnow(), **values}), (read, {"order_id": order_id})
    )
    return changed.row_count == 1, ORDER_BY_ID.only(found.rows)


async def stored_order(session: AsyncSession, order_id: int) -> StoredOrder:
    """An order as it is now.

    Raises:
        NotFound: There is none.
    """
    return await ORDER_BY_ID.one_or_404(session, order_id=order_id)
