"""Stock: a product's quantity changes by one conditional UPDATE, and never without a movement that says why.

Products are locked in ascending id order, so two orders of the same products wait for each other and never deadlock.
The UPDATE comes before the rows that refer to the product: on MariaDB those would take a shared lock on it first.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from sqlalchemy import Row
from sqlmodel import bindparam, col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.errors import Conflict, ShopError, Unprocessable
from api.models.product import MAX_STOCK, Product
from api.models.stock_movement import StockMovement, StockReason

SoldProduct = Row[int, str, str, Decimal]
"""A product's id, name, sku and price at the moment of a sale."""

# Built once, and run past the unit of work: selling is what the shop does most.
DECREMENT_STOCK = (
    update(Product)
    .where(
        col(Product.id) == bindparam("product_id"),
        col(Product.is_active),
        col(Product.stock_quantity) >= bindparam("quantity"),
    )
    .values(stock_quantity=col(Product.stock_quantity) - bindparam("quantity"))
)
SELECT_SOLD = (
    select(col(Product.id), col(Product.name), col(Product.sku), col(Product.price))
    .where(col(Product.id).in_(bindparam("product_ids", expanding=True)))
    .order_by(col(Product.id))
)


async def change(session: AsyncSession, movement: StockMovement) -> StockMovement:
    """Add units to a product's stock, or take units where `delta` is below zero.

    Raises:
        Conflict: The stock would fall below zero or exceed its limit.
    """
    after = col(Product.stock_quantity) + movement.delta
    changed = await session.exec(
        update(Product)
        .where(col(Product.id) == movement.product_id, after.between(0, MAX_STOCK))
        .values(stock_quantity=after)
    )
    if changed.rowcount == 0:
        raise Conflict(f"The stock must stay between 0 and {MAX_STOCK:,}.")
    session.add(movement)
    await session.flush()
    return movement


async def take(session: AsyncSession, quantities: Mapping[int, int]) -> Sequence[SoldProduct]:
    """Take units of several active products, all or nothing, and return the products in order of their ids.

    Raises:
        Unprocessable: A product does not exist or is no longer for sale.
        Conflict: The stock of one does not suffice.
    """
    connection = await session.connection()
    for product_id, quantity in sorted(quantities.items()):
        taken = await connection.execute(DECREMENT_STOCK, {"product_id": product_id, "quantity": quantity})
        if taken.rowcount == 0:
            raise await _shortage(session, product_id)
    products = await connection.execute(SELECT_SOLD, {"product_ids": list(quantities)})
    return products.all()


async def _shortage(session: AsyncSession, product_id: int) -> ShopError:
    product = (await session.exec(select(Product).where(Product.id == product_id))).one_or_none()
    if product is None or not product.is_active:
        return Unprocessable("body.items", f"product {product_id} does not exist or is no longer for sale")
    return Conflict(
        f"The stock of {product.name} ({product.sku}) is {product.stock_quantity}, less than the order needs."
    )


async def give_back(
    session: AsyncSession, quantities: Mapping[int, int], *, order_id: int, user_id: int | None
) -> None:
    """Put the units of a cancelled order back."""
    for product_id, quantity in sorted(quantities.items()):
        await change(
            session,
            StockMovement(
                product_id=product_id,
                delta=quantity,
                reason=StockReason.CANCELLATION,
                order_id=order_id,
                user_id=user_id,
            ),
        )


def record_initial(session: AsyncSession, products: Sequence[Product], user_id: int) -> None:
    """Add the movements by which new products got their stock."""
    session.add_all(
        StockMovement(product_id=product.id, delta=product.stock_quantity, reason=StockReason.INITIAL, user_id=user_id)
        for product in products
        if product.stock_quantity
    )
