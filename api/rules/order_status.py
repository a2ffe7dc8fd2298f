"""The status of an order: a change adds an event and notifies the customer; cancelling returns stock and money once."""

from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.connections import driver_of
from api.database.statements import Insertion
from api.errors import Conflict
from api.models.notification import NotificationKind
from api.models.order import Order, OrderRead, OrderStatus
from api.models.order_event import OrderEvent
from api.models.order_item import OrderItem
from api.rules import payments, stock
from api.rules.notifications import notify

INSERT_EVENT = Insertion(OrderEvent)

STATUS_MESSAGES = {
    OrderStatus.PENDING: (NotificationKind.ORDER_PLACED, "We received your order {}."),
    OrderStatus.CONFIRMED: (NotificationKind.ORDER_CONFIRMED, "Your order {} is confirmed."),
    OrderStatus.SHIPPED: (NotificationKind.ORDER_SHIPPED, "Your order {} is on its way."),
    OrderStatus.DELIVERED: (NotificationKind.ORDER_DELIVERED, "Your order {} was delivered."),
    OrderStatus.CANCELLED: (NotificationKind.ORDER_CANCELLED, "Your order {} is cancelled."),
}
"""What the customer is told when an order gets a status."""


async def change_status(session: AsyncSession, order: Order, status: OrderStatus, *, changed_by: int) -> Order:
    """Bring an order to its next status; `cancelled` gives back its stock and what was paid.

    The UPDATE compares the old status, so of two changes at once one waits, and then checks the new status again.

    Raises:
        Conflict: That status does not follow the present one.
    """
    before = order.status
    while not await _advance(session, order, status):
        await session.refresh(order)
        before = order.status
    await session.refresh(order)
    await record_status(session, order, before, changed_by=changed_by)
    if status is OrderStatus.CANCELLED:
        await _give_back(session, order, changed_by)
    return order


async def confirm_if_paid(session: AsyncSession, order: Order, *, changed_by: int) -> None:
    """Confirm an order that is paid in full."""
    if order.status is OrderStatus.PENDING and await payments.is_settled(session, order):
        await change_status(session, order, OrderStatus.CONFIRMED, changed_by=changed_by)


async def record_status(
    session: AsyncSession, order: Order | OrderRead, before: OrderStatus | None, *, changed_by: int
) -> None:
    """Add the event of a status that an order has just got, and tell the customer."""
    driver = await driver_of(session)
    row = INSERT_EVENT.values(order_id=order.id, from_status=before, to_status=order.status, user_id=changed_by)
    await driver.execute(INSERT_EVENT.one, **row)
    kind, message = STATUS_MESSAGES[order.status]
    await notify(session, order.user_id, kind, message.format(order.order_number), order_id=order.id)


async def _advance(session: AsyncSession, order: Order, status: OrderStatus) -> bool:
    """Whether the order still had the status with which it was read."""
    if not order.may_become(status):
        raise Conflict(f"An order with the status {order.status} cannot change to {status}.")
    changed = await session.exec(
        update(Order).where(col(Order.id) == order.id, col(Order.status) == order.status).values(status=status)
    )
    return changed.rowcount == 1


async def _give_back(session: AsyncSession, order: Order, user_id: int) -> None:
    lines = await session.exec(select(OrderItem.product_id, OrderItem.quantity).where(OrderItem.order_id == order.id))
    await stock.give_back(session, dict(lines.all()), order_id=order.id, user_id=user_id)
    await payments.refund_all(session, order, reason="Order cancelled", user_id=user_id)
