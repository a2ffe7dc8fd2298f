"""Orders as the rules read them: as they are now, within the transaction."""

from sqlmodel import bindparam, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.order import Order, StoredOrder
from api.reads.plain import PlainStatement

ORDER_BY_ID = PlainStatement(select(Order).where(Order.id == bindparam("order_id")), StoredOrder)


async def stored_order(session: AsyncSession, order_id: int) -> StoredOrder:
    """An order as it is now.

    Raises:
        NotFound: There is none.
    """
    return await ORDER_BY_ID.one_or_404(session, order_id=order_id)
