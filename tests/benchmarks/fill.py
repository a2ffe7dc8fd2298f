"""Fill a shop's database: `python fill.py PRODUCTS TO_CHANGE`, with `DATABASE_URL` and `PYTHONPATH` set.

It is run in a process of its own, because the shop that it fills may be an older release with models of its own.
"""

import asyncio
import sys
from collections.abc import Iterable, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlmodel import SQLModel, insert, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.account import Account, ShopAccount
from api.models.base import utcnow
from api.models.category import Category
from api.models.order import Order, OrderStatus
from api.models.order_event import OrderEvent
from api.models.order_item import OrderItem
from api.models.product import Product
from api.models.stock_movement import StockMovement, StockReason
from api.models.token import Token, TokenKind
from api.models.transaction import Transaction
from api.models.user import User
from api.settings import Settings

sys.path.append(str(Path(__file__).parent))
import rows as made  # type: ignore[import-not-found]

BATCH = 1_000


async def fill(database: Database, data: made.Rows) -> None:
    async with database.transaction() as session:
        await _insert(session, User, data.users)
        await _insert(session, Category, data.categories)
        await _insert(session, Product, data.products)
        await _insert(session, Token, [_token(data, user_id) for user_id in range(1, 1 + len(data.users))])
        await _insert(session, Order, [{k: v for k, v in order.items() if k != "items"} for order in data.orders])
        numbered = list(enumerate(data.orders, start=1))
        lines = [{"order_id": order_id, **item} for order_id, order in numbered for item in order["items"]]
        await _insert(session, OrderItem, lines)
        await _insert(session, OrderEvent, [_first_event(order_id, order) for order_id, order in numbered])
        await _insert(session, StockMovement, _movements(data, lines))
        await _give_credit(session, len(data.users))


async def _insert(session: AsyncSession, model: type[SQLModel], rows: Iterable[dict[str, Any]]) -> None:
    """As the class would store them: with its defaults, and what it makes of other columns."""
    made_rows = [model(**row) for row in rows]
    for row in made_rows:
        if hasattr(row, "update_search_text"):
            row.update_search_text()
    values = [row.model_dump(exclude={"id"}) for row in made_rows]
    for start in range(0, len(values), BATCH):
        await (await session.connection()).execute(insert(model), values[start : start + BATCH])


def _token(data: made.Rows, user_id: int) -> dict[str, Any]:
    secret = data.token(user_id)
    return {
        "user_id": user_id,
        "kind": TokenKind.SESSION,
        "name": "Benchmark",
        "prefix": secret[:12],
        "token_hash": made.hash_of(secret),
        "expires_at": utcnow() + timedelta(days=1),
        "last_used_at": utcnow(),  # so that no request has to note its use
    }


def _first_event(order_id: int, order: dict[str, Any]) -> dict[str, Any]:
    return {"order_id": order_id, "to_status": OrderStatus.PENDING, "user_id": order["user_id"]}


def _movements(data: made.Rows, lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What came in is what is there and what the orders took."""
    sold: dict[int, int] = {}
    for line in lines:
        sold[line["product_id"]] = sold.get(line["product_id"], 0) + line["quantity"]
    initial = [
        {"product_id": product_id, "delta": made.STOCK + sold.get(product_id, 0), "reason": StockReason.INITIAL}
        for product_id in range(1, 1 + len(data.products))
    ]
    taken = [
        {
            "product_id": line["product_id"],
            "delta": -line["quantity"],
            "reason": StockReason.ORDER,
            "order_id": line["order_id"],
        }
        for line in lines
    ]
    return initial + taken


async def _give_credit(session: AsyncSession, users: int) -> None:
    issued = (await session.exec(select(Account).where(Account.name == ShopAccount.ISSUED.value))).one()
    for user_id in range(1, 1 + users):
        account = Account(name=f"Store credit {user_id}", user_id=user_id, balance=made.BALANCE)
        session.add(account)
        await session.flush()
        session.add(Transaction(from_account_id=issued.id, to_account_id=account.id, amount=made.BALANCE))
    issued.balance = Decimal(-users) * made.BALANCE
    await session.flush()


async def main(products: int, to_change: int) -> None:
    database = Database(Settings())
    try:
        await fill(database, made.make_rows(products, to_change))
    finally:
        await database.close()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
