"""A shop with many rows, written by the database itself: a hundred thousand products and orders take seconds.

The books are valid. The columns are those of the first revisions, so that it can be filled before an upgrade. There are
as many orders as products; each order has two lines, and each product is sold twice. All of it was a day ago.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from sqlalchemy import CompoundSelect, Insert, Select, Subquery, case, insert, literal, literal_column, select
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import BigInteger, SQLModel, String, cast, true, union_all

from api.models.base import utcnow
from api.models.columns import Timestamp
from tests.alembic_support import on_engine

BEFORE_SEARCHES = "76e6d6af1488"
"""The last revision whose products have no search text."""

CATEGORIES, USERS = 50, 1_000
PRICE = 100
"""Cents, of the cheapest; there are a thousand prices."""

FIRST_CATEGORY = 5
"""The migrations add four."""

TABLES = SQLModel.metadata.tables


def fill(url: str, rows: int) -> None:
    """Write into a migrated database, at any revision."""

    async def write(engine: AsyncEngine) -> None:
        for table, found in statements(rows):
            async with engine.begin() as connection:
                await connection.execute(_insert(table, found))

    on_engine(url, write)


def fill_trail(url: str, rows: int) -> None:
    """Write as many entries into the audit trail of a database at the last revision."""

    async def write(engine: AsyncEngine) -> None:
        async with engine.begin() as connection:
            await connection.execute(_insert("audit_entries", _entry(rows)))

    on_engine(url, write)


def _insert(table: str, found: Select[Any]) -> Insert:
    """Without the defaults of columns that a later revision adds."""
    return insert(TABLES[table]).from_select([*found.selected_columns.keys()], found, include_defaults=False)


def statements(rows: int) -> Iterator[tuple[str, Select[Any]]]:
    """What is written into each table, parents first."""
    yield "categories", _category()
    yield "users", _user()
    yield "products", _product(rows)
    yield "orders", _order(rows)
    for second in (False, True):
        yield "order_items", _line(rows, second)
        yield "stock_movements", _sale(rows, second)
    yield "stock_movements", _delivery(rows)
    yield "order_events", _event(rows, None, "pending", _numbers(rows))
    yield "order_events", _event(rows, "pending", "confirmed", _numbers(rows, only_even=True))
    yield "notifications", _notification(rows)


def _numbers(count: int, *, only_even: bool = False) -> Subquery:
    """`n` from 1 to a count."""
    digit: CompoundSelect[Any] = union_all(*(select(literal_column(str(each)).label("d")) for each in range(10)))
    n: Any
    n, digits = literal_column("1"), digit.subquery("d0")
    places: Any = digits
    for place in range(len(str(count - 1))):
        if place:
            digits = digit.subquery(f"d{place}")
            places = places.join(digits, true())
        n = n + digits.c.d * literal_column(str(10**place))
    numbers = select(cast(n, BigInteger).label("n")).select_from(places).subquery("counted")
    found = select(numbers.c.n).where(numbers.c.n <= count)
    return (found.where(numbers.c.n % 2 == 0) if only_even else found).order_by(numbers.c.n).subquery("numbers")


def _text(*parts: Any) -> Any:
    first: Any
    first, *others = (literal(each, String) if isinstance(each, str) else cast(each, String(20)) for each in parts)
    for each in others:
        first = first.concat(each)
    return first


def _yesterday() -> Any:
    """The start of the shop looks through what was changed within the last hour."""
    return literal(utcnow() - timedelta(days=1), Timestamp)


def _times(*names: str) -> list[Any]:
    return [_yesterday().label(name) for name in names or ("created_at", "updated_at")]


def _price(n: Any) -> Any:
    return literal_column(str(PRICE)) + n % 1_000 * 10


def _category() -> Select[Any]:
    n = _numbers(CATEGORIES).c.n
    return select(_text("Shelf ", n).label("name"), _text("shelf-", n).label("slug"), *_times())


def _user() -> Select[Any]:
    n = _numbers(USERS).c.n
    return select(
        _text("user", n).label("username"),
        _text("user", n, "@example.com").label("email"),
        literal_column("''").label("hashed_password"),
        literal(True).label("is_active"),
        literal(False).label("is_superuser"),
        *_times(),
    )


def _product(rows: int) -> Select[Any]:
    n = _numbers(rows).c.n
    return select(
        n.label("id"),
        _text("Product ", n).label("name"),
        _text("product-", n).label("slug"),
        _text("P-", n).label("sku"),
        _text("Thirty hours a charge, model ", n * 7_919 % 1_000_003, ", in colour ", n % 100).label("description"),
        _price(n).label("price"),
        case((n % 20 == 0, literal(False)), else_=literal(True)).label("is_active"),
        (n % CATEGORIES + FIRST_CATEGORY).label("category_id"),
        (n % 100).label("stock_quantity"),
        literal_column("'{}'").label("attributes"),
        *_times(),
    )


def _other(n: Any, rows: int) -> Any:
    """The product of an order's second line."""
    return (n + rows // 2 - 1) % rows + 1


def _order(rows: int) -> Select[Any]:
    n = _numbers(rows).c.n
    return select(
        n.label("id"),
        _text("ORD-", n).label("order_number"),
        (n % USERS + 1).label("user_id"),
        case((n % 2 == 0, literal("confirmed", String)), else_=literal("pending", String)).label("status"),
        (_price(n) + _price(_other(n, rows))).label("total_amount"),
        literal_column("0").label("paid_amount"),
        *_times(),
    )


def _line(rows: int, second: bool) -> Select[Any]:
    n = _numbers(rows).c.n
    product = _other(n, rows) if second else n
    return select(
        n.label("order_id"),
        product.label("product_id"),
        literal_column("1").label("quantity"),
        _text("Product ", product).label("product_name"),
        _text("P-", product).label("sku"),
        _price(product).label("unit_price"),
        _price(product).label("total_price"),
    )


def _sale(rows: int, second: bool) -> Select[Any]:
    n = _numbers(rows).c.n
    return select(
        (_other(n, rows) if second else n).label("product_id"),
        literal_column("-1").label("delta"),
        literal_column("'order'").label("reason"),
        n.label("order_id"),
        *_times("created_at"),
    )


def _delivery(rows: int) -> Select[Any]:
    n = _numbers(rows).c.n
    return select(
        n.label("product_id"),
        (n % 100 + 2).label("delta"),
        literal_column("'initial'").label("reason"),
        *_times("created_at"),
    )


def _event(rows: int, before: str | None, after: str, numbers: Subquery) -> Select[Any]:
    return select(
        numbers.c.n.label("order_id"),
        literal(before, String).label("from_status"),
        literal(after, String).label("to_status"),
        *_times("created_at"),
    )


def _notification(rows: int) -> Select[Any]:
    n = _numbers(rows).c.n
    return select(
        (n % USERS + 1).label("user_id"),
        n.label("order_id"),
        literal_column("'order_placed'").label("kind"),
        literal_column("'Your order was placed.'").label("message"),
        *_times("created_at"),
    )


def _entry(rows: int) -> Select[Any]:
    n = _numbers(rows).c.n
    return select(
        literal_column("'changed'").label("action"),
        case((n % 3 == 0, literal("orders", String)), else_=literal("products", String)).label("entity"),
        n.label("row_id"),
        (n % USERS + 1).label("user_id"),
        literal_column("'{}'").label("changes"),
        *_times("created_at"),
    )
