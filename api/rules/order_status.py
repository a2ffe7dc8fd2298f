"""The status of an order: a change is told to the customer and to other programs; cancelling returns stock and money
once."""

from sqlmodel import bindparam, col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.connections import driver_of
from api.database.statements import Insertion, Statement
from api.database.trail import record_change
from api.errors import Conflict
from api.models.event import EventType
from api.models.notification import NotificationKind
from api.models.order import Order, OrderRead, OrderStatus, StoredOrder
from api.models.order_event import OrderEvent
from api.models.order_item import OrderItem
from api.rules import payments, stock
from api.rules.events import record_event
from api.rules.notifications import notify
from api.rules.orders import change_order, stored_order

# Statements that are compiled once: every order runs them.
ADVANCE_ORDER = Statement(
    update(Order)
    .where(col(Order.id) == bindparam("order_id"), col(Order.status) == bindparam("before"))
    .values(status=bindparam("after"), updated_at=bindparam("now")),
    recorded=True,
)
SELECT_LINES = Statement(
    select(col(OrderItem.product_id), col(OrderItem.quantity)).where(OrderItem.order_id == bindparam("order_id"))
)
INSERT_EVENT = Insertion(OrderEvent)

STATUS_MESSAGES = {
    OrderStatus.PENDING: (NotificationKind.ORDER_PLACED, "We received your order {}."),
    OrderStatus.CONFIRMED: (NotificationKind.ORDER_CONFIRMED, "Your order {} is confirmed."),
    OrderStatus.SHIPPED: (NotificationKind.ORDER_SHIPPED, "Your order {} is on its way."),
    OrderStatus.DELIVERED: (NotificationKind.ORDER_DELIVERED, "Your order {} was delivered."),
    OrderStatus.CANCELLED: (NotificationKind.ORDER_CANCELLED, "Your order {} is cancelled."),
}
"""What the customer is told when an order gets a status."""

EVENTS = {
    OrderStatus.PENDING: EventType.ORDER_PLACED,
    OrderStatus.CONFIRMED: EventType.ORDER_CONFIRMED,
    OrderStatus.SHIPPED: EventType.ORDER_SHIPPED,
    OrderStatus.DELIVERED: EventType.ORDER_DELIVERED,
    OrderStatus.CANCELLED: EventType.ORDER_CANCELLED,
}
"""What other programs are told then."""


async def change_status(
    session: AsyncSession, order: StoredOrder, status: OrderStatus, *, changed_by: int
) -> StoredOrder:
    """Bring an order to its next status; `cancelled` gives back its stock and what was paid.

    The UPDATE compares the old status, so of two changes at once one waits, and then checks the new status again.

    Raises:
        Conflict: That status does not follow the present one.
    """
    while True:
        if not order.may_become(status):
            raise Conflict(f"An order with the status {order.status} cannot change to {status}.")
        before = order.status
        changed, order = await change_order(session, order.id, ADVANCE_ORDER, before=before, after=status)
        if changed:
            record_change(session, Order, order.id, status=(before, status))
            break
    await record_status(session, order, before, changed_by=changed_by)
    if status is OrderStatus.CANCELLED:
        order = await _give_back(session, order, changed_by)
    tell_status(session, order)
    return order


async def confirm_if_paid(session: AsyncSession, order: StoredOrder, *, changed_by: int) -> None:
    """Confirm an order that is paid in full."""
    if order.status is OrderStatus.PENDING and order.is_settled:
        await change_status(session, order, OrderStatus.CONFIRMED, changed_by=changed_by)


async def record_status(
    session: AsyncSession, order: OrderRead, before: OrderStatus | None, *, changed_by: int
) -> None:
    """Add the event of a status that an order has just got, and tell the customer; others are told by `tell_status`."""
    driver = await driver_of(session)
    row = INSERT_EVENT.values(order_id=order.id, from_status=before, to_status=order.status, user_id=changed_by)
    await driver.send(INSERT_EVENT.one, **row)
    kind, message = STATUS_MESSAGES[order.status]
    await notify(session, order.user_id, kind, message.format(order.order_number), order_id=order.id)


def tell_status(session: AsyncSession, order: OrderRead) -> None:
    """Tell other programs of the status that an order has got, once all is done that comes with it."""
    record_event(session, EVENTS[order.status], Order, order.id, order)


async def _give_back(session: AsyncSession, order: StoredOrder, user_id: int) -> StoredOrder:
    """Give back the stock and the money of a cancelled order, and return the order as it is then."""
    driver = await driver_of(session)
    lines = await driver.fetch(SELECT_LINES, order_id=order.id)
    await stock.give_back(session, dict(map(tuple, lines)), order_id=order.id, user_id=user_id)
    if order.paid_amount:  # of a cancelled order, so nobody pays it from here on
        await payments.refund_all(session, order, reason="Order cancelled", user_id=user_id)
        return await stored_order(session, order.id)
    return order
