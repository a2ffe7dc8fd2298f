"""A small world for tests of who may do what: a customer with one row of everything, another customer, and staff.

Ids are fixed, far beyond those that the databases give out, and no two are the same: so a request can be written down
with them, and the same request is one for rows that do not exist once each id in it is replaced.
"""

import json
from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
from fastapi import FastAPI
from sqlmodel import SQLModel

from api.auth import new_token
from api.database import Database
from api.models import (
    Account,
    Category,
    Notification,
    NotificationKind,
    Order,
    OrderEvent,
    OrderItem,
    OrderStatus,
    Payment,
    PaymentMethod,
    Post,
    PostStatus,
    PostTag,
    Product,
    Refund,
    ShopAccount,
    StockMovement,
    StockReason,
    Tag,
    Token,
    TokenKind,
    Transaction,
    User,
)
from api.models.base import utcnow
from tests.seed import Seed, all_rows
from tests.support import PASSWORD_HASH, CheckedTransport, Contract

OWNER, OTHER, STAFF, DEACTIVATED = range(9_100_001, 9_100_005)
OWNER_ACCOUNT, OTHER_ACCOUNT, STAFF_ACCOUNT, FOURTH_ACCOUNT = range(9_200_001, 9_200_005)
CATEGORY, PRODUCT, INACTIVE_PRODUCT, TAG = range(9_300_001, 9_300_005)
ORDER, PAYMENT, NOTIFICATION = range(9_400_001, 9_400_004)
DRAFT, PUBLISHED = range(9_500_001, 9_500_003)
KEY = 9_600_001

PRIVATE = "private"
"""Stands in everything of the owner's that nobody else may see."""

GOOD = ("owner", "other", "staff", "the owner's API key")
BAD = ("expired session", "expired API key", "deactivated user's session", "deactivated user's API key", "revoked one")


def _users() -> dict[str, User]:
    return {
        name: User(
            id=user_id,
            username=name,
            email=f"{PRIVATE if user_id == OWNER else name}@example.com",
            bio=PRIVATE if user_id == OWNER else None,
            hashed_password=PASSWORD_HASH,
            is_active=user_id != DEACTIVATED,
            is_superuser=user_id == STAFF,
        )
        for user_id, name in ((OWNER, "owner"), (OTHER, "other"), (STAFF, "staff"), (DEACTIVATED, "deactivated"))
    }


def _tokens(users: dict[str, User]) -> tuple[dict[str, str], list[Token]]:
    """What each caller sends, and the rows that stand for it; of a revoked token there is none."""
    secrets, rows = {}, []
    for number, caller in enumerate((*GOOD, *BAD)):
        user = users.get(caller, users["deactivated" if caller.startswith("deactivated") else "owner"])
        kind = TokenKind.KEY if "key" in caller.lower() else TokenKind.SESSION
        lifetime = timedelta(days=-1 if caller.startswith("expired") else 1)
        secrets[caller], row = new_token(user, kind, f"{PRIVATE} token {number}", lifetime)
        row.id = KEY if caller == "the owner's API key" else KEY + 1 + number
        row.last_used_at = utcnow()  # so that no request has to note its use
        if not caller.startswith("revoked"):
            rows.append(row)
    return secrets, rows


def _rows(users: Iterable[User], issued: int) -> Iterable[SQLModel]:
    for user in users:
        account_id, credit = OWNER_ACCOUNT + user.id - OWNER, Decimal("50.00")
        yield user
        yield Account(id=account_id, name=f"Store credit {user.username}", user_id=user.id, balance=credit)
        yield Transaction(
            id=account_id, from_account_id=issued, to_account_id=account_id, amount=credit, description=PRIVATE
        )
    yield Category(id=CATEGORY, name="Audio", slug="audio-9")
    for product_id, sku, stock in ((PRODUCT, "WH-9", 8), (INACTIVE_PRODUCT, PRIVATE.upper(), 0)):
        yield Product(
            id=product_id,
            name=sku.lower(),
            slug=sku.lower(),
            sku=sku,
            price=Decimal("50.00"),
            stock_quantity=stock,
            is_active=product_id == PRODUCT,
            category_id=CATEGORY,
        )
    total, paid, refunded = Decimal("100.00"), Decimal("30.00"), Decimal("10.00")
    order = Order(id=ORDER, user_id=OWNER, total_amount=total, paid_amount=paid, shipping_address=PRIVATE)
    yield order
    yield OrderItem(
        id=ORDER,
        order_id=ORDER,
        product_id=PRODUCT,
        product_name="wh-9",
        sku="WH-9",
        quantity=2,
        unit_price=Decimal("50.00"),
        total_price=total,
    )
    yield OrderEvent(id=ORDER, order_id=ORDER, from_status=None, to_status=OrderStatus.PENDING, user_id=OWNER)
    yield StockMovement(id=ORDER, product_id=PRODUCT, delta=10, reason=StockReason.INITIAL, note=PRIVATE)
    yield StockMovement(id=ORDER + 1, product_id=PRODUCT, delta=-2, reason=StockReason.ORDER, order_id=ORDER)
    payment = Payment(id=PAYMENT, order_id=ORDER, method=PaymentMethod.CARD, amount=paid, reference=PRIVATE)
    payment.refunded_amount = refunded
    yield payment
    yield Refund(id=PAYMENT, payment_id=PAYMENT, amount=refunded, reason=PRIVATE)
    yield Notification(
        id=NOTIFICATION, user_id=OWNER, order_id=ORDER, kind=NotificationKind.ORDER_PLACED, message=PRIVATE
    )
    yield Tag(id=TAG, name="Reviews", slug="reviews-9")
    for post_id, slug, status in ((DRAFT, PRIVATE, PostStatus.DRAFT), (PUBLISHED, "published", PostStatus.PUBLISHED)):
        yield Post(id=post_id, author_id=OWNER, title=slug, slug=slug, content=slug, status=status)
        yield PostTag(post_id=post_id, tag_id=TAG)


class World:
    """The world in one database, which can be made anew, and requests that are sent into it."""

    def __init__(self, app: FastAPI, contract: Contract, seed: Seed) -> None:
        self.database: Database = app.state.database
        users = _users()
        self.secrets, tokens = _tokens(users)
        rows = {name: [dict(row) for row in found] for name, found in seed.rows.items()}
        (issued,) = (each for each in rows["accounts"] if each["name"] == ShopAccount.ISSUED.value)
        for row in (*_rows(users.values(), issued["id"]), *tokens):
            rows[str(row.__tablename__)].append(row.model_dump())
        issued["balance"] = -sum(each["balance"] for each in rows["accounts"] if each["user_id"])
        self._seed = Seed(rows)
        documented, undocumented = CheckedTransport(app, contract), httpx.ASGITransport(app)
        mounts = {"all://test.example": documented, "all://undocumented.example": undocumented}
        self.client = httpx.AsyncClient(mounts=mounts)

    async def restore(self) -> None:
        await self._seed.restore(self.database)

    async def rows(self) -> dict[str, list[str]]:
        """All that is in the database."""
        return await all_rows(self.database.engine)

    async def send(self, caller: str, method: str, path: str, **request: Any) -> httpx.Response:
        """Send a request, which is held against the OpenAPI document where that knows the path."""
        host = "undocumented" if path.startswith(("/docs", "/openapi.json")) else "test"
        headers = {"Authorization": f"Bearer {self.secrets[caller]}"} if caller in self.secrets else {}
        return await self.client.request(method, f"http://{host}.example{path}", headers=headers, **request)


def elsewhere(request: Any) -> Any:
    """The same request for rows that do not exist: each id in it, and each private name, is another one."""
    text = json.dumps(request).replace(PRIVATE, "absent").replace(PRIVATE.upper(), "ABSENT")
    for first in range(9_100_000, 9_700_000, 100_000):
        for number in range(1, 5):
            text = text.replace(str(first + number), str(first + 50_000 + number))
    return json.loads(text)
