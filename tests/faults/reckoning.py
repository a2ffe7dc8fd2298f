"""What the shop's books hold against what its customers were told."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlmodel import SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.idempotency_key import IdempotencyKey
from api.models.order import Order, OrderStatus
from api.models.order_event import OrderEvent
from api.models.order_item import OrderItem
from api.models.payment import Payment
from api.models.refund import Refund
from api.models.stock_movement import StockMovement, StockReason
from api.models.transaction import Transaction
from tests.faults.journal import Journal, Operation

CANCELLATION = "Order cancelled"
"""The reason of a refund that nobody asked for by itself."""


@dataclass
class Reckoning:
    """Nothing of this should be there."""

    lost: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def is_even(self) -> bool:
        return not (self.lost or self.extra or self.wrong)

    def compare(self, what: str, told: Iterable[Any], stored: Iterable[Any]) -> None:
        told, stored = set(told), set(stored)
        self.lost += [f"{what} {each} was acknowledged and is gone" for each in sorted(told - stored)]
        self.extra += [f"{what} {each} is there and nobody was told" for each in sorted(stored - told)]


async def reckon(session: AsyncSession, journal: Journal, known_transactions: set[int]) -> Reckoning:
    """Compare each kind of row with what was acknowledged; all operations have a definitive answer by now.

    `known_transactions` are those that were there before.
    """
    found = Reckoning()
    found.wrong += [
        f"{each.kind} under {each.key} was answered in {len(bodies)} ways"
        for each in journal.operations
        if each.key is not None and len(bodies := {answer.body for answer in each.answers if answer.is_definitive}) > 1
    ]

    orders = {order.id: order for order in await _all(session, Order)}
    told_orders = journal.acknowledged("order")
    found.compare("order", told_orders, orders)
    found.wrong += await _altered_orders(session, told_orders, orders)

    told_and_stored = {
        "payment": (("order_id", "amount"), await _all(session, Payment)),
        "refund": (("payment_id", "amount"), await _all(session, Refund, Refund.reason != CANCELLATION)),
        "transfer": (("to_account_id", "amount"), await _transfers(session, known_transactions)),
    }
    for kind, (columns, rows) in told_and_stored.items():
        told, stored = journal.acknowledged(kind), {row.id: row for row in rows}
        found.compare(kind, told, stored)
        found.wrong += _altered(told, stored, *columns)

    await _compare_cancellations(session, found, journal, orders)
    await _compare_keys(session, found, journal)
    return found


async def _all(session: AsyncSession, model: type[SQLModel], *conditions: Any) -> list[Any]:
    return list((await session.exec(select(model).where(*conditions))).all())


async def _transfers(session: AsyncSession, but_not: set[int]) -> list[Any]:
    """Of customers: payments and refunds move store credit too, and belong to an order."""
    return [
        row for row in await _all(session, Transaction, col(Transaction.order_id).is_(None)) if row.id not in but_not
    ]


def _altered(told: dict[int, Operation], stored: dict[int, Any], *columns: str) -> Iterable[str]:
    """Rows that say something else than the answer did; amounts are strings there."""
    for row_id in told.keys() & stored.keys():
        outcome = told[row_id].outcome
        answer = outcome.json() if outcome else {}
        row = {name: getattr(stored[row_id], name) for name in columns}
        if any(str(answer[name]) != str(value) for name, value in row.items()):
            yield f"{told[row_id].kind} {row_id} is {row}, and was answered as {answer}"


async def _altered_orders(session: AsyncSession, told: dict[int, Operation], stored: dict[int, Order]) -> Iterable[str]:
    lines: dict[int, Counter[tuple[int, int, str]]] = {order_id: Counter() for order_id in stored}
    for item in await _all(session, OrderItem):
        lines[item.order_id][item.product_id, item.quantity, f"{item.total_price}"] += 1

    def answered(items: list[dict[str, Any]]) -> Counter[tuple[int, int, str]]:
        return Counter((item["product_id"], item["quantity"], item["total_price"]) for item in items)

    return [
        *_altered(told, stored, "user_id", "total_amount"),
        *(
            f"order {order_id} has other lines than it was answered with"
            for order_id in told.keys() & stored.keys()
            if (outcome := told[order_id].outcome) and answered(outcome.json()["items"]) != lines[order_id]
        ),
    ]


async def _compare_cancellations(
    session: AsyncSession, found: Reckoning, journal: Journal, orders: dict[int, Order]
) -> None:
    """A cancellation has no key: sent again it is refused, because the order is cancelled already."""
    wanted = {int(each.path.split("/")[2]) for each in journal.operations if each.kind == "cancel"}
    told = journal.acknowledged("cancel")
    stored = {order.id for order in orders.values() if order.status is OrderStatus.CANCELLED}
    found.lost += [f"cancellation of {each} was acknowledged and is gone" for each in told.keys() - stored]
    found.lost += [f"cancellation of {each} was refused, and it is not cancelled" for each in wanted - stored]
    found.extra += [f"order {each} is cancelled and nobody asked for it" for each in stored - wanted]
    events = Counter(
        (await session.exec(select(OrderEvent.order_id).where(OrderEvent.to_status == OrderStatus.CANCELLED))).all()
    )
    found.extra += [f"order {each} was cancelled {times} times" for each, times in events.items() if times > 1]
    restocked = Counter(
        (
            await session.exec(
                select(StockMovement.order_id, StockMovement.product_id).where(
                    StockMovement.reason == StockReason.CANCELLATION
                )
            )
        ).all()
    )
    found.extra += [f"{each} was restocked {times} times" for each, times in restocked.items() if times > 1]


async def _compare_keys(session: AsyncSession, found: Reckoning, journal: Journal) -> None:
    """Refusals have keys too; each key has the answer that was given."""
    keys = (await session.exec(select(IdempotencyKey).order_by(col(IdempotencyKey.id)))).all()
    stored = {(row.user_id, row.key): row for row in keys}
    told = {(each.user_id, each.key): each for each in journal.operations if each.key is not None}
    found.compare("key", told, stored)
    for name in told.keys() & stored.keys():
        outcome, row = told[name].outcome, stored[name]
        if outcome and (outcome.status, outcome.body.decode()) != (row.status_code, row.body):
            found.wrong.append(f"key {name} holds {row.status_code} {row.body}, and {outcome} was answered")
