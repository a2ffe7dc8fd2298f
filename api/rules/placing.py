"""Placing an order: it takes its stock, and freezes names and prices as they are at that moment."""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.errors import Unprocessable
from api.models.money import MAX_AMOUNT
from api.models.order import Order
from api.models.order_item import OrderItem, OrderItemCreate
from api.models.stock_movement import StockMovement, StockReason
from api.models.user import User
from api.rules import stock
from api.rules.order_status import record_status


async def place(
    session: AsyncSession,
    lines: Sequence[OrderItemCreate],
    *,
    customer_id: int,
    shipping_address: str | None,
    placed_by: int,
) -> Order:
    """Place an order for a customer.

    Raises:
        Unprocessable: The customer or a product does not exist or is inactive, or the total exceeds the limit.
        Conflict: The stock of a product does not suffice.
    """
    await _lock_customer(session, customer_id)
    quantities: Counter[int] = Counter()
    for line in lines:
        quantities[line.product_id] += line.quantity
    products = await stock.take(session, quantities)
    order = _build_order(products, quantities, customer_id, shipping_address)
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
    await record_status(session, order, None, changed_by=placed_by)
    return order


async def _lock_customer(session: AsyncSession, customer_id: int) -> None:
    """Keep the customer until the order stands: a request that erases the customer at the same time waits."""
    active = select(User.id).where(User.id == customer_id, col(User.is_active))
    if (await session.exec(active.with_for_update(read=True, key_share=True))).first() is None:
        raise Unprocessable("body.user_id", "the user does not exist or is inactive")


def _build_order(
    products: Sequence[stock.SoldProduct],
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
        raise Unprocessable("body.items", f"the total exceeds {MAX_AMOUNT:,}")
    return Order(user_id=customer_id, shipping_address=shipping_address, total_amount=total, items=items)
