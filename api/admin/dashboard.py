"""The first page: how the shop is doing. Each figure is bounded, so that it stays fast in a shop of any size."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Date
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.responses import Response

from api.admin.plot import Plot, plot
from api.admin.rows import TONES, Row, fetch, select_rows
from api.admin.visits import Visit
from api.models.base import utcnow
from api.models.money import ZERO, total_of
from api.models.order import Order, OrderStatus
from api.models.order_item import OrderItem
from api.models.product import LOW_STOCK, Product
from api.rules.revenue import COUNTS_AS_REVENUE, NET_AMOUNT

DAYS = 90
DAYS_OF_SALES = 30

MAX_ORDERS = 50_000
"""The newest orders that the figures are made of: some 0.1 s. A shop that takes more sees fewer days."""

MAX_SALES = 20_000
"""The newest orders whose lines are added up for the best sellers."""

MAX_PRODUCTS = 100_000
"""The newest products that are asked for their stock, which has no index, because each sale changes it."""

ROWS = 10
"""Lines of each table."""

ZERO_ORDERS = dict.fromkeys(OrderStatus, 0)


class _Day(FunctionElement[date]):
    """The day of a time, in UTC."""

    type = Date()
    inherit_cache = True


@compiles(_Day)
def _write_day(element: _Day, compiler: SQLCompiler, **options: Any) -> str:
    return f"DATE({compiler.process(element.clauses, **options)})"


@compiles(_Day, "postgresql")
def _write_day_in_utc(element: _Day, compiler: SQLCompiler, **options: Any) -> str:
    return f"DATE({compiler.process(element.clauses, **options)} AT TIME ZONE 'UTC')"


@dataclass(frozen=True)
class Day:
    """The orders of one day, and what they brought in."""

    day: date
    orders: int
    revenue: Decimal


@dataclass(frozen=True)
class Figures:
    """Days and statuses of the orders since a day."""

    days: Sequence[Day]
    statuses: dict[OrderStatus, int]
    is_capped: bool

    @property
    def orders(self) -> int:
        return sum(each.orders for each in self.days)

    @property
    def revenue(self) -> Decimal:
        return sum((each.revenue for each in self.days), start=ZERO)

    def last(self, days: int) -> "Figures":
        return Figures(self.days[-days:], self.statuses, self.is_capped)


async def _floor(session: AsyncSession, model: Any, rows: int) -> int:
    """The id behind which there are so many rows; zero where there are fewer. It is found by the primary key."""
    found = await session.exec(select(col(model.id)).order_by(col(model.id).desc()).offset(rows).limit(1))
    return found.first() or 0


async def figures(session: AsyncSession, floor: int) -> Figures:
    """One statement."""
    first = utcnow().date() - timedelta(days=DAYS - 1)
    since = datetime(first.year, first.month, first.day, tzinfo=UTC)
    day = _Day(col(Order.created_at))
    statement: Any = (
        select(day.label("day"), col(Order.status), func.count(), total_of(NET_AMOUNT))
        .where(col(Order.id) > floor, col(Order.created_at) >= since)
        .group_by(day, col(Order.status))
    )
    orders: dict[date, int] = {}
    revenue: dict[date, Decimal] = {}
    statuses = dict(ZERO_ORDERS)
    for when, status, count, amount in (await session.exec(statement)).all():
        statuses[OrderStatus(status)] += count
        if OrderStatus(status) is not OrderStatus.CANCELLED:
            orders[when] = orders.get(when, 0) + count
            revenue[when] = revenue.get(when, ZERO) + amount
    days = [first + timedelta(days=number) for number in range(DAYS)]
    return Figures([Day(each, orders.get(each, 0), revenue.get(each, ZERO)) for each in days], statuses, floor > 0)


async def best_sellers(session: AsyncSession, floor: int) -> list[dict[str, Any]]:
    """What sold most units within the month, in one statement."""
    units = func.sum(OrderItem.quantity)
    since = utcnow() - timedelta(days=DAYS_OF_SALES)
    sold: Any = (
        select(
            col(OrderItem.product_id).label("id"), units.label("units"), total_of(OrderItem.total_price).label("total")
        )
        .join(Order, col(OrderItem.order_id) == col(Order.id))
        .where(col(OrderItem.order_id) > floor, col(Order.id) > floor)  # twice: each is a range of an index
        .where(col(Order.created_at) >= since, COUNTS_AS_REVENUE)
        .group_by(col(OrderItem.product_id))
        .order_by(units.desc(), col(OrderItem.product_id))
        .limit(ROWS)
        .subquery()
    )
    named: Any = (
        select(sold.c.id, col(Product.name).label("name"), sold.c.units, sold.c.total)
        .join(Product, col(Product.id) == sold.c.id)
        .order_by(sold.c.units.desc(), sold.c.id)
    )
    return [dict(each) for each in (await session.exec(named)).mappings()]


async def low_stock(session: AsyncSession) -> tuple[list[dict[str, Any]], bool]:
    """What is nearly out of stock, and whether a part of the products was looked at alone; two statements."""
    floor = await _floor(session, Product, MAX_PRODUCTS)
    statement: Any = (
        select(col(Product.id).label("id"), col(Product.name).label("name"), col(Product.stock_quantity).label("units"))
        .where(col(Product.id) > floor, col(Product.is_active), col(Product.stock_quantity) <= LOW_STOCK)
        .order_by(col(Product.stock_quantity), col(Product.id))
        .limit(ROWS)
    )
    return [dict(each) for each in (await session.exec(statement)).mappings()], floor > 0


async def newest_orders(session: AsyncSession, visit: Visit) -> list[Row]:
    entity = visit.entities["orders"]
    columns = [each for each in entity.list_columns if each.name in ("user_id", "status", "total_amount", "created_at")]
    statement = select_rows(visit.entities, entity, columns).order_by(col(Order.id).desc()).limit(ROWS)
    return await fetch(session, visit.entities, entity, columns, statement)


async def show(visit: Visit) -> Response:
    session = await visit.session()
    floor = await _floor(session, Order, MAX_ORDERS)
    found = await figures(session, floor)
    low, low_is_capped = await low_stock(session)
    dates = [each.day for each in found.days]
    currency = visit.settings.currency
    plots: list[Plot] = [
        plot("Revenue per day", dates, [each.revenue for each in found.days], currency),
        plot("Orders per day", dates, [each.orders for each in found.days], "orders"),
    ]
    return visit.page(
        "dashboard.html",
        found=found,
        plots=plots,
        tones=TONES,
        periods={"Today": found.last(1), "7 days": found.last(7), "30 days": found.last(30), f"{DAYS} days": found},
        best_sellers=await best_sellers(session, await _floor(session, Order, MAX_SALES)),
        low_stock=low,
        low_is_capped=low_is_capped,
        low_stock_limit=LOW_STOCK,
        days=DAYS,
        days_of_sales=DAYS_OF_SALES,
        max_orders=MAX_ORDERS,
        max_products=MAX_PRODUCTS,
        newest=await newest_orders(session, visit),
    )
