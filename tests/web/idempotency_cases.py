"""Requests to the routes that move stock and money, with an idempotency key, and what one of them changes.

Every other write is covered by `tests/house/test_idempotency_keys.py`, by its example in the OpenAPI document.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from httpx import AsyncClient, Response
from sqlmodel import SQLModel, col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.account import Account
from api.models.idempotency_key import IdempotencyKey
from api.models.order import Order
from api.models.payment import Payment
from api.models.product import Product
from api.models.refund import Refund
from api.models.stock_movement import StockMovement
from api.models.transaction import Transaction

KEY = "8e03978e-40d5-43e8-bc93-6894a57f9324"


@dataclass(frozen=True)
class Shop:
    """One row of each kind that a request can concern. `own_account` is that of staff."""

    product: Product
    order: Order
    payment: Payment
    own_account: Account
    other_account: Account


@dataclass(frozen=True)
class Case:
    """A request that staff may send, the entity that it adds a row of, and a request that is refused."""

    path: str
    body: dict[str, Any]
    other_body: dict[str, Any]
    adds: type[SQLModel]
    refused_path: str
    refused_body: dict[str, Any]
    refused_with: int

    @property
    def refused(self) -> "Case":
        """The same case, whose request is the one that is refused."""
        return replace(self, path=self.refused_path, body=self.refused_body)


def _case(
    path: str, body: dict[str, Any], other: dict[str, Any], adds: type[SQLModel], refused_body: dict[str, Any]
) -> Case:
    return Case(path, body, {**body, **other}, adds, path, refused_body, 409)


CASES: dict[str, Callable[[Shop], Case]] = {
    "POST /orders": lambda shop: _case(
        "/orders",
        {"items": [{"product_id": shop.product.id, "quantity": 2}]},
        {"shipping_address": "1 Abbey Road"},
        Order,
        {"items": [{"product_id": shop.product.id, "quantity": 1_000}]},
    ),
    "POST /orders/{id}/payments": lambda shop: _case(
        f"/orders/{shop.order.id}/payments",
        {"method": "card", "amount": "10.00"},
        {"method": "cash"},
        Payment,
        {"method": "card", "amount": "60.01"},
    ),
    "POST /payments/{id}/refunds": lambda shop: _case(
        f"/payments/{shop.payment.id}/refunds",
        {"amount": "10.00", "reason": "Scratched"},
        {"amount": "11.00"},
        Refund,
        {"amount": "40.01", "reason": "Scratched"},
    ),
    "POST /accounts/transfers": lambda shop: _case(
        "/accounts/transfers",
        {"to_account_id": shop.other_account.id, "amount": "10.00"},
        {"amount": "11.00"},
        Transaction,
        {"to_account_id": shop.other_account.id, "amount": "50.01"},
    ),
    "POST /accounts/{id}/deposits": lambda shop: replace(
        _case(
            f"/accounts/{shop.other_account.id}/deposits",
            {"amount": "10.00"},
            {"amount": "11.00"},
            Transaction,
            {"amount": "10.00"},
        ),
        refused_path="/accounts/1000000/deposits",
        refused_with=404,
    ),
    "POST /products/{id}/stock": lambda shop: _case(
        f"/products/{shop.product.id}/stock",
        {"delta": -2, "reason": "Broken"},
        {"reason": "Lost"},
        StockMovement,
        {"delta": -1_000, "reason": "Broken"},
    ),
}


async def send(client: AsyncClient, case: Case, key: str | bytes | None = KEY) -> Response:
    """Send the request of a case under a key; `None` sends no key."""
    headers = {} if key is None else {b"Idempotency-Key": key if isinstance(key, bytes) else key.encode()}
    return await client.post(case.path, json=case.body, headers=headers)


async def count_rows(session: AsyncSession, entity: type[SQLModel]) -> int:
    return (await session.exec(select(func.count()).select_from(entity))).one()


async def stored_keys(session: AsyncSession) -> list[IdempotencyKey]:
    """Every idempotency key in the database, the oldest first."""
    return list((await session.exec(select(IdempotencyKey).order_by(col(IdempotencyKey.id)))).all())


async def figures(session: AsyncSession, case: Case) -> list[Decimal | int]:
    """The sums that requests change, and the number of rows of the entity that this request adds to."""
    credit = select(func.sum(Account.balance)).where(col(Account.user_id).is_not(None))
    columns = (Product.stock_quantity, Order.total_amount, Order.paid_amount, Payment.refunded_amount)
    sums: list[Decimal | int] = [(await session.exec(select(func.sum(column)))).one() for column in columns]
    return [*sums, (await session.exec(credit)).one(), await count_rows(session, case.adds)]


def difference(before: list[Decimal | int], after: list[Decimal | int]) -> list[Decimal | int]:
    return [later - earlier for earlier, later in zip(before, after, strict=True)]


def assert_replayed(again: Response, first: Response) -> None:
    """Check that an answer repeats the first one byte for byte, and says that it does."""
    assert "Idempotent-Replayed" not in first.headers, "the first answer says that it repeats another one"
    assert again.headers.get("Idempotent-Replayed") == "true", f"{again.text} does not repeat an answer"
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers.get("Content-Type") == first.headers.get("Content-Type")


def assert_answered_once(responses: list[Response], status: int) -> None:
    """Check that one request was done, and that all others got its answer, byte for byte."""
    first_answers = [response for response in responses if "Idempotent-Replayed" not in response.headers]
    assert len(first_answers) == 1, f"{len(first_answers)} of {len(responses)} requests were done, not one"
    (first,) = first_answers
    assert first.status_code == status, first.text
    for response in responses:
        if response is not first:
            assert_replayed(response, first)
