"""Placing an order: it takes its stock, and freezes names and prices as they are at that moment."""

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlmodel import SQLModel, bindparam, col, not_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.batches import Answered
from api.database.connections import driver_of
from api.database.drivers import DriverConnection
from api.database.row_ids import next_id, next_ids
from api.database.statements import Insertion, Statement, numbered_values
from api.errors import Unprocessable
from api.models.money import MAX_AMOUNT
from api.models.order import Order, OrderReadWithItems
from api.models.order_item import OrderItem, OrderItemCreate, OrderItemRead
from api.models.user import User
from api.rules import stock
from api.rules.order_status import record_status, tell_status

# Statements that are compiled once: selling is what the shop does most.
LOCK_CUSTOMER = Statement(
    select(col(User.is_superuser))
    .where(User.id == bindparam("customer_id"), col(User.is_active))
    .with_for_update(read=True, key_share=True)
)
INSERT_ORDER = Insertion(Order)
INSERT_ITEM = Insertion(OrderItem)
SELECT_ITEM_IDS = Statement(
    select(col(OrderItem.id), col(OrderItem.product_id)).where(OrderItem.order_id == bindparam("order_id"))
)


async def place(
    session: AsyncSession,
    lines: Sequence[OrderItemCreate],
    *,
    customer_id: int,
    shipping_address: str | None,
    placed_by: int,
    is_named: bool,
) -> OrderReadWithItems:
    """Place an order for a customer, or for the user who places it; `is_named` says whether the request names a user.

    Raises:
        Unprocessable: The customer or a product does not exist or is inactive, the user who is named is staff, or the
            total exceeds the limit.
        Conflict: The stock of a product does not suffice.
    """
    driver = await driver_of(session)
    quantities: Counter[int] = Counter()
    for line in lines:
        quantities[line.product_id] += line.quantity
    # None for an order that may be refused for whom it names: the numbers of a new shop begin with 1.
    wanted: dict[type[SQLModel], int] = {} if is_named else {Order: 1, OrderItem: len(quantities)}
    ids = [call for model, count in wanted.items() for call in next_ids(driver.dialect, model, count)]
    # A request that erases the customer at the same time waits until the order stands.
    customer, locked, decremented, *given = await driver.together(
        (LOCK_CUSTOMER, {"customer_id": customer_id}), *stock.taking(quantities), *ids
    )
    if not customer.rows:
        raise Unprocessable("body.user_id", "the user does not exist or is inactive")
    if is_named and customer.rows[0][0]:
        raise Unprocessable("body.user_id", await _why_not_staff(session, customer_id))
    products = stock.taken(session, quantities, locked, decremented)
    items = [_build_item(product, quantities[product.id]) for product in products]
    total = sum((item["total_price"] for item in items), start=Decimal(0))
    if total > MAX_AMOUNT:
        raise Unprocessable("body.items", f"the total exceeds {MAX_AMOUNT:,}")
    row = INSERT_ORDER.values(user_id=customer_id, shipping_address=shipping_address, total_amount=total)
    order_id, item_ids = await _insert(driver, row, items, given)
    await stock.record_sale(driver, quantities, order_id=order_id, user_id=placed_by)
    read = [OrderItemRead.model_construct(id=item_ids[item["product_id"]], **item) for item in items]
    order = OrderReadWithItems.model_construct(id=order_id, items=read, **row)
    await record_status(session, order, None, changed_by=placed_by)
    tell_status(session, order)
    return order


async def _why_not_staff(session: AsyncSession, user_id: int) -> str:
    """What to send instead: the first id of a shop is that of its first staff user, and taken for a customer's."""
    customers = select(User.id, User.username).where(col(User.is_active), not_(col(User.is_superuser)))
    newest = (await session.exec(customers.order_by(col(User.id).desc()).limit(1))).first()
    example = f", such as {newest[0]} ({newest[1]})" if newest else ""
    return (
        f"user {user_id} is a staff user, and no customer. Send the user_id of a customer{example}. "
        "Staff order for themselves without user_id."
    )


def _build_item(product: stock.SoldProduct, quantity: int) -> dict[str, Any]:
    return {
        "product_id": product.id,
        "product_name": product.name,
        "sku": product.sku,
        "quantity": quantity,
        "unit_price": product.price,
        "total_price": product.price * quantity,
    }


async def _insert(
    driver: DriverConnection, row: dict[str, Any], items: Sequence[Mapping[str, Any]], given: Sequence[Answered]
) -> tuple[int, dict[int, int]]:
    """Insert an order with its lines, and return its id, and that of each line by its product.

    Where the ids were given out before, nobody waits for the rows: they go to the database with what comes next.
    """
    order_id = await driver.insert(INSERT_ORDER, row_id=next_id(given), **row)
    if not given:
        return order_id, await _insert_items(driver, order_id, items)
    item_ids = {item["product_id"]: item_id for item, (item_id,) in zip(items, given[1].rows, strict=True)}
    lines = [{"id": item_ids[item["product_id"]], "order_id": order_id, **item} for item in items]
    await driver.insert_many(INSERT_ITEM.numbered, lines)
    return order_id, item_ids


async def _insert_items(driver: DriverConnection, order_id: int, items: Sequence[Mapping[str, Any]]) -> dict[int, int]:
    """Insert the lines of an order, and return the id of each by its product."""
    values = numbered_values([INSERT_ITEM.values(order_id=order_id, **item) for item in items])
    if driver.dialect.insert_returning:
        rows = await driver.fetch(INSERT_ITEM.many(len(items), "id", "product_id"), **values)
    else:
        await driver.execute(INSERT_ITEM.many(len(items)), **values)
        rows = await driver.fetch(SELECT_ITEM_IDS, order_id=order_id)
    return {product_id: item_id for item_id, product_id in rows}
