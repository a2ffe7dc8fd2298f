"""Stock: a product's quantity changes by one conditional UPDATE, and never without a movement that says why.

Products are locked in ascending id order, so two orders of the same products wait for each other and never deadlock.
The UPDATE comes before the rows that refer to the product: on MariaDB those would take a shared lock on it first.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement
from sqlmodel import Integer, bindparam, case, col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.batches import Answered, Call
from api.database.connections import driver_of
from api.database.drivers import DriverConnection
from api.database.mysql_plans import found_by_id
from api.database.row_ids import reserve_ids
from api.database.statements import Insertion, Row, Statement, numbered, numbered_values
from api.database.trail import record_change
from api.errors import Conflict, ShopError, Unprocessable
from api.models.base import utcnow
from api.models.columns import BigInt
from api.models.event import EventType
from api.models.product import LOW_STOCK, MAX_STOCK, Product, ProductStock
from api.models.stock_movement import StockMovement, StockReason
from api.rules.events import record_event

INSERT_MOVEMENT = Insertion(StockMovement)

PRODUCTS_AT_A_TIME = 100
"""As many as the longest order has lines: a statement is compiled for each number of products."""


class SoldProduct(NamedTuple):
    """A product at the moment of a sale."""

    id: int
    name: str
    sku: str
    price: Decimal
    stock_quantity: int
    is_active: bool


async def change(session: AsyncSession, movement: StockMovement) -> StockMovement:
    """Add units to a product's stock, or take units where `delta` is below zero.

    Raises:
        Conflict: The stock would fall below zero or exceed its limit.
    """
    await _add(session, {movement.product_id: movement.delta})
    session.add(movement)
    await session.flush()
    return movement


def taking(quantities: Mapping[int, int]) -> tuple[Call, Call]:
    """The statements that take units of several products; `taken` says what came of them."""
    wanted, count = _numbered(quantities), len(quantities)
    return (_lock_products(count), wanted), (_decrement_stock(count), wanted | {"now": utcnow()})


def taken(
    session: AsyncSession, quantities: Mapping[int, int], locked: Answered, decremented: Answered
) -> Sequence[SoldProduct]:
    """Record that units were taken of active products, all or nothing, and return the products in order of their ids.

    Raises:
        Unprocessable: A product does not exist or is no longer for sale.
        Conflict: The stock of one does not suffice.
    """
    products = [*map(_sold_product, locked.rows)]
    if decremented.row_count < len(quantities):
        raise _shortage({each.id: each for each in products}, quantities)
    for each in products:
        before, after = each.stock_quantity, each.stock_quantity - quantities[each.id]
        record_change(session, Product, each.id, stock_quantity=(before, after))
        if after <= LOW_STOCK < before:
            low = ProductStock.model_construct(id=each.id, sku=each.sku, name=each.name, stock_quantity=after)
            record_event(session, EventType.STOCK_LOW, Product, each.id, low)
    return products


async def record_sale(driver: DriverConnection, quantities: Mapping[int, int], *, order_id: int, user_id: int) -> None:
    """Add the movements of an order whose stock was taken."""
    await _record(driver, quantities, StockReason.ORDER, order_id=order_id, user_id=user_id, sign=-1)


async def give_back(
    session: AsyncSession, quantities: Mapping[int, int], *, order_id: int, user_id: int | None
) -> None:
    """Put the units of a cancelled order back.

    Raises:
        Conflict: The stock of a product would exceed its limit.
    """
    driver = await driver_of(session)
    await _add(session, quantities)
    await _record(driver, quantities, StockReason.CANCELLATION, order_id=order_id, user_id=user_id, sign=1)


async def set_counted(
    session: AsyncSession, counted: Mapping[int, tuple[int, int]], *, user_id: int | None, note: str
) -> None:
    """Set the stock of products that are locked, each from its quantity of now to one that was counted."""
    deltas = {product_id: after - before for product_id, (before, after) in sorted(counted.items())}
    for first in range(0, len(deltas), PRODUCTS_AT_A_TIME):
        await _add(session, dict(islice(deltas.items(), first, first + PRODUCTS_AT_A_TIME)))
    session.add_all(
        StockMovement(product_id=product_id, delta=delta, reason=StockReason.ADJUSTMENT, note=note, user_id=user_id)
        for product_id, delta in deltas.items()
    )
    await session.flush()


async def record_initial(session: AsyncSession, products: Sequence[Product], user_id: int | None) -> None:
    """Add the movements by which new products got their stock."""
    stocked = [product for product in products if product.stock_quantity]
    ids = await reserve_ids(session, StockMovement, len(stocked))
    initial: dict[str, Any] = {"reason": StockReason.INITIAL, "user_id": user_id}
    session.add_all(
        StockMovement(product_id=product.id, delta=product.stock_quantity, **initial, **row_id)
        for product, row_id in zip(stocked, ids, strict=True)
    )


async def _add(session: AsyncSession, deltas: Mapping[int, int]) -> None:
    """Add units to several products, all or nothing; below zero they are taken."""
    driver, added = await driver_of(session), _numbered(deltas)
    count = len(deltas)
    increment = (_increment_stock(count), added | {"now": utcnow()})
    locked, incremented = await driver.together((_lock_products(count), added), increment)
    if incremented.row_count < count:
        raise Conflict(f"The stock must stay between 0 and {MAX_STOCK:,}.")
    for each in map(_sold_product, locked.rows):
        before = each.stock_quantity
        record_change(session, Product, each.id, stock_quantity=(before, before + deltas[each.id]))


def _numbered(units: Mapping[int, int]) -> dict[str, Any]:
    return numbered_values([{"id": product_id, "units": number} for product_id, number in sorted(units.items())])


def _sold_product(row: Row) -> SoldProduct:
    return SoldProduct(*row)


async def _record(
    driver: DriverConnection,
    quantities: Mapping[int, int],
    reason: StockReason,
    *,
    order_id: int,
    user_id: int | None,
    sign: int,
) -> None:
    shared = {"reason": reason, "order_id": order_id, "user_id": user_id}
    await driver.insert_many(
        INSERT_MOVEMENT,
        [{"product_id": product_id, "delta": sign * units, **shared} for product_id, units in quantities.items()],
    )


def _shortage(products: Mapping[int, SoldProduct], quantities: Mapping[int, int]) -> ShopError:
    """The refusal that names the first product, in order of their ids, that cannot be sold."""
    for product_id, quantity in sorted(quantities.items()):
        product = products.get(product_id)
        if product is None or not product.is_active:
            return Unprocessable("body.items", f"product {product_id} does not exist or is no longer for sale")
        if product.stock_quantity < quantity:
            return Conflict(
                f"The stock of {product.name} ({product.sku}) is {product.stock_quantity}, less than the order needs."
            )
    raise AssertionError("The products are locked, so the UPDATE refuses only what is missing, inactive or short.")


@cache
def _lock_products(count: int) -> Statement:
    """Locks so many products in ascending order. The UPDATE alone would lock them in the order of its plan."""
    sold = (Product.id, Product.name, Product.sku, Product.price, Product.stock_quantity, Product.is_active)
    products = select(Product).with_only_columns(*map(col, sold)).where(_is_one_of(count)).order_by(col(Product.id))
    return Statement(found_by_id(products).with_for_update(key_share=True))


@cache
def _decrement_stock(count: int) -> Statement:
    """Takes the units of so many products, of those that are for sale and have them."""
    wanted = _units(count)
    in_stock = (_is_one_of(count), col(Product.is_active), col(Product.stock_quantity) >= wanted)
    remaining = col(Product.stock_quantity) - wanted
    taken = update(Product).where(*in_stock).values(stock_quantity=remaining, updated_at=bindparam("now"))
    return Statement(taken, recorded=True)


@cache
def _increment_stock(count: int) -> Statement:
    """Adds units to so many products, of those whose stock stays within its limits."""
    after = col(Product.stock_quantity) + _units(count)
    within = update(Product).where(_is_one_of(count), after.between(0, MAX_STOCK))
    return Statement(within.values(stock_quantity=after, updated_at=bindparam("now")), recorded=True)


def _units(count: int) -> Any:
    """How many units of each product."""
    return case(
        *((col(Product.id) == _id(index), bindparam(numbered("units", index), type_=Integer)) for index in range(count))
    )


def _is_one_of(count: int) -> ColumnElement[bool]:
    return col(Product.id).in_([_id(index) for index in range(count)])


def _id(index: int) -> Any:
    return bindparam(numbered("id", index), type_=BigInt)
