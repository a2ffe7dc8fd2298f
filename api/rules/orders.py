"""Orders: placing one takes its stock, cancelling one gives back the stock and the money, each exactly once."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.errors import Conflict, Unprocessable
from api.models import (
    Notification,
    NotificationKind,
    Order,
    OrderEvent,
    OrderItem,
    OrderItemCreate,
    OrderStatus,
    StockMovement,
    StockReason,
    User,
)
from api.models.base import MAX_AMOUNT
from api.rules import payments, stock
from api.rules.notifications import notify

TOLD = {
    OrderStatus.PENDING: (NotificationKind.ORDER_PLACED, "We received your order {}."),
    OrderStatus.CONFIRMED: (NotificationKind.ORDER_CONFIRMED, "Your order {} is confirmed."),
    OrderStatus.SHIPPED: (NotificationKind.ORDER_SHIPPED, "Your order {} is on its way."),
    OrderStatus.DELIVERED: (NotificationKind.ORDER_DELIVERED, "Your order {} was delivered."),
    OrderStatus.CANCELLED: (NotificationKind.ORDER_CANCELLED, "Your order {} is cancelled."),
}
"""What a customer is told when an order gets a status."""


async def place(
    session: AsyncSession,
    lines: Sequence[OrderItemCreate],
    *,
    customer_id: int,
    shipping_address: str | None,
    placed_by: int,
) -> Order:
    """Place an order for a customer: take the stock and freeze names and prices as they are now.

    Raises:
        Unprocessable: The customer or a product does not exist or is not active, or the total is beyond any order.
        Conflict: The stock of a product does not suffice.
    """
    await _check_customer(session, customer_id)
    quantities: Counter[int] = Counter()
    for line in lines:
        quantities[line.product_id] += line.quantity
    products = await stock.take(session, quantities)
    order = _frozen(products, quantities, customer_id, shipping_address)
    session.add(order)
    await session.flush()
    session.add_all(
        StockMovement(
            product_id=product_id,
            delta=-quantity,
            reason=StockReason.ORDER,
            order_id=order.id,
            user_id=placed_by,
        )
        for product_id, quantity in quantities.items()
    )
    await _record(session, order, None, placed_by)
    return order


async def _check_customer(session: AsyncSession, customer_id: int) -> None:
    """And that they stay until the order stands: whoever erases them at the same time waits."""
    active = select(User.id).where(User.id == customer_id, col(User.is_active))
    if (await session.exec(active.with_for_update(read=True, key_share=True))).first() is None:
        raise Unprocessable("body.user_id", "there is no such user, or not an active one")


def _frozen(
    products: Sequence[stock.Taken],
    quantities: Counter[int],
    customer_id: int,
    shipping_address: str | None,
) -> Order:
    items = [
        OrderItem(
            product_id=product.id,
            product_name=product.name,
            sku=product.sku,
            quantity=quantities[product.id],
            unit_price=product.price,
            total_price=product.price * quantities[product.id],
        )
        for product in products
    ]
    total = sum((item.total_price for item in items), start=Decimal(0))
    if total > MAX_AMOUNT:
        raise Unprocessable("body.items", f"come to more than {MAX_AMOUNT:,}")
    return Order(user_id=customer_id, shipping_address=shipping_address, total_amount=total, items=items)


async def change_status(session: AsyncSession, order: Order, status: OrderStatus, *, changed_by: int) -> Order:
    """Bring an order to its next status; `cancelled` gives back its stock and what was paid.

    The UPDATE compares the old status, so of two changes at once one waits, and then looks again whether it may.

    Raises:
        Conflict: That status does not follow the present one.
    """
    before = order.status
    while not await _advance(session, order, status):
        await session.refresh(order)
        before = order.status
    await session.refresh(order)
    await _record(session, order, before, changed_by)
    if status is OrderStatus.CANCELLED:
        await _undo(session, order, changed_by)
    return order


async def _advance(session: AsyncSession, order: Order, status: OrderStatus) -> bool:
    """Whether the order was still what it was when it was read."""
    if not order.may_become(status):
        raise Conflict(f"An order that is {order.status} cannot become {status}.")
    changed = await session.exec(
        update(Order)
        .where(col(Order.id) == order.id, col(Order.status) == order.status)
        .values(status=status)
        .execution_options(synchronize_session=False)
    )
    return changed.rowcount == 1


async def confirm_if_paid(session: AsyncSession, order: Order, *, changed_by: int) -> None:
    """An order is confirmed once it is paid in full."""
    if order.status is OrderStatus.PENDING and await payments.is_settled(session, order):
        await change_status(session, order, OrderStatus.CONFIRMED, changed_by=changed_by)


async def _undo(session: AsyncSession, order: Order, user_id: int) -> None:
    lines = await session.exec(select(OrderItem.product_id, OrderItem.quantity).where(OrderItem.order_id == order.id))
    await stock.give_back(session, dict(lines.all()), order_id=order.id, user_id=user_id)
    await payments.refund_all(session, order, reason="Order cancelled", user_id=user_id)


async def _record(session: AsyncSession, order: Order, before: OrderStatus | None, user_id: int) -> None:
    session.add(OrderEvent(order_id=order.id, from_status=before, to_status=order.status, user_id=user_id))
    await session.flush()
    kind, message = TOLD[order.status]
    await notify(
        session,
        Notification(user_id=order.user_id, order_id=order.id, kind=kind, message=message.format(order.order_number)),
    )
