"""What orders bring in: what was ordered and not cancelled, before refunds (gross) and after them (net)."""

from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Subquery, type_coerce
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import join
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlmodel import cast, col, func, literal, select, union_all
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.category import Category
from api.models.columns import Cents
from api.models.money import ZERO, average, total_of
from api.models.order import Order, OrderStatus
from api.models.order_item import OrderItem
from api.models.product import Product
from api.models.reports import CategorySales, OrderStats, StatusCount, TopSpender
from api.models.user import User, UserSummary

COUNTS_AS_REVENUE = col(Order.status) != OrderStatus.CANCELLED
NET_AMOUNT = type_coerce(col(Order.total_amount) - col(Order.refunded_amount), Cents)

MAX_CATEGORIES = 1_000
"""Categories of one summary."""

HALF = 2**20
"""Half of the bits of an amount, which has less than 40: the product of an amount and this fits into 64 bits."""


async def order_stats(session: AsyncSession) -> OrderStats:
    """All orders at a glance, in two statements."""
    sums = func.count(), func.sum(Order.total_amount), func.sum(Order.refunded_amount)
    by_status = [
        StatusCount(status=OrderStatus(status), orders=orders, amount=amount, refunded_amount=refunded)
        for status, orders, amount, refunded in await session.exec(
            select(Order.status, *sums).group_by(col(Order.status)).order_by(col(Order.status))
        )
    ]
    counted = [each for each in by_status if each.status is not OrderStatus.CANCELLED]
    gross = sum((each.amount for each in counted), start=ZERO)
    refunded = sum((each.refunded_amount for each in counted), start=ZERO)
    return OrderStats(
        total_orders=sum(each.orders for each in by_status),
        gross_revenue=gross,
        refunded_amount=refunded,
        total_revenue=gross - refunded,
        average_order_value=average(gross - refunded, sum(each.orders for each in counted)),
        by_status=by_status,
        by_category=await _sales_by_category(session),
    )


async def top_spenders(session: AsyncSession, limit: int) -> list[TopSpender]:
    """The users who spent the most, in one statement."""
    spent = func.sum(NET_AMOUNT)
    statement = (
        select(User.id, User.username, func.count(), spent)
        .join(Order, col(Order.user_id) == col(User.id))
        .where(COUNTS_AS_REVENUE, User.not_erased())
        .group_by(col(User.id), col(User.username))
        .order_by(spent.desc(), col(User.id))
        .limit(limit)
    )
    return [
        TopSpender(user=UserSummary(id=user_id, username=username), orders=orders, spent=amount)
        for user_id, username, orders, amount in await session.exec(statement)
    ]


async def _sales_by_category(session: AsyncSession) -> list[CategorySales]:
    """What all lines come to, less those of cancelled orders, less what was refunded of the others.

    Most orders stand, and looking up the order of each line would take longer than the rest: with a million orders
    that would be too long for a request on MariaDB.
    """
    units, gross = func.sum(OrderItem.quantity), func.sum(_cents(OrderItem.total_price))
    with_order = join(OrderItem, Order, col(OrderItem.order_id) == col(Order.id))
    refunds = _refunds_of_lines()
    with_refund = join(OrderItem, refunds, refunds.c.item_id == col(OrderItem.id))
    parts: Any = union_all(
        _by_category(OrderItem, units, gross, literal(0)),
        _by_category(with_order, -units, -gross, literal(0)).where(col(Order.status) == OrderStatus.CANCELLED),
        _by_category(with_refund, literal(0), literal(0), func.sum(refunds.c.cents)),
    ).subquery()
    sold: Any = func.sum(parts.c.units)
    sums: list[Any] = [sold, total_of(parts.c.gross), total_of(parts.c.refunded)]
    statement: Any = (
        select(col(Category.id), col(Category.name), *sums)
        .select_from(parts)
        .outerjoin(Category, parts.c.category_id == col(Category.id))
        .group_by(col(Category.id), col(Category.name))
        .having(sold > 0)
        .order_by(col(Category.name).is_(None), col(Category.name))
        .limit(MAX_CATEGORIES)
    )
    return [_category_sales(*row) for row in await session.exec(statement)]


def _by_category(lines: Any, units: Any, gross: Any, refunded: Any) -> Any:
    """Sums of lines, by the categories that their products are in today.

    Each line has a product. The outer join has every database go from the lines to the products: from one product to
    its lines, which lie far apart, takes several times as long.
    """
    sums = units.label("units"), gross.label("gross"), refunded.label("refunded")
    return (
        select(Product.category_id, *sums)
        .select_from(lines)
        .outerjoin(Product, col(OrderItem.product_id) == col(Product.id))
        .group_by(col(Product.category_id))
    )


def _category_sales(
    category_id: int | None, category: str | None, units: int, gross: Decimal, refunded: Decimal
) -> CategorySales:
    return CategorySales(
        category_id=category_id,
        category=category,
        units=units,
        gross_revenue=gross,
        refunded_amount=refunded,
        revenue=gross - refunded,
    )


def _refunds_of_lines() -> Subquery:
    """What was refunded of each line: its order's refunds in proportion to its total.

    A line has the share of all lines up to it, less that of the lines before it. So the shares of an order add up.
    """
    total, refunded = _cents(Order.total_amount), _cents(Order.refunded_amount)
    line = _cents(OrderItem.total_price)
    up_to_it = func.sum(line).over(partition_by=col(OrderItem.order_id), order_by=col(OrderItem.id))
    lines = (
        select(col(OrderItem.id).label("item_id"), cast(up_to_it, BigInteger).label("up_to_it"))
        .add_columns(line.label("line"), total.label("total"), refunded.label("refunded"))
        .join(Order, col(OrderItem.order_id) == col(Order.id))
        .where(COUNTS_AS_REVENUE, refunded > 0)
        .subquery()
    ).c
    share = _share(lines.refunded, lines.up_to_it, lines.total)
    before = _share(lines.refunded, lines.up_to_it - lines.line, lines.total)
    return select(lines.item_id, (share - before).label("cents")).subquery("refunds_of_lines")


def _cents(column: Any) -> ColumnElement[Any]:
    """An amount as the whole number that it is stored as."""
    return type_coerce(column, BigInteger)


def _share(amount: ColumnElement[Any], part: ColumnElement[Any], whole: ColumnElement[Any]) -> ColumnElement[Any]:
    """`amount * part / whole`, rounded down, where `part` is at most `whole`.

    The product alone may have 80 bits. So this divides like a person on paper, by two digits of 20 bits each.
    """
    first = amount * _Quotient(part, HALF)
    second = first % whole * HALF + amount * (part % HALF)
    return _Quotient(first, whole) * HALF + _Quotient(second, whole)


class _Quotient(FunctionElement[int]):
    """A division of whole numbers, rounded down."""

    type = BigInteger()
    inherit_cache = True


@compiles(_Quotient)
def _divide(element: _Quotient, compiler: SQLCompiler, **options: Any) -> str:
    dividend, divisor = (compiler.process(each, **options) for each in element.clauses)
    return f"(({dividend}) / ({divisor}))"


@compiles(_Quotient, "mysql")
@compiles(_Quotient, "mariadb")
def _divide_whole(element: _Quotient, compiler: SQLCompiler, **options: Any) -> str:
    dividend, divisor = (compiler.process(each, **options) for each in element.clauses)
    return f"(({dividend}) DIV ({divisor}))"
