"""A shop in which every valid request succeeds, so that a hostile one is stopped by what is hostile in it alone."""

import json
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote_from_bytes

from fastapi import FastAPI
from httpx import AsyncClient, Response
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.types import Receive, Scope, Send

from api.auth.tokens import new_token
from api.database.sessions import Database
from api.models.account import Account, ShopAccount
from api.models.base import utcnow
from api.models.category import Category
from api.models.notification import Notification, NotificationKind
from api.models.order import Order, OrderStatus
from api.models.order_event import OrderEvent
from api.models.order_item import OrderItem
from api.models.payment import Payment, PaymentMethod
from api.models.post import Post, PostStatus
from api.models.product import Product
from api.models.refund import Refund
from api.models.stock_movement import StockMovement, StockReason
from api.models.tag import PostTag, Tag
from api.models.token import TokenKind
from api.models.transaction import Transaction
from api.models.user import User
from tests.hostile import FORM, JSON, SECRET, Document, Operation
from tests.support import PASSWORD, PASSWORD_HASH, CheckedTransport, Contract, FreshSession, Seed, save

ODD = "5%_\\'"
"""In one row of everything that can be searched; it is made of what a LIKE would take for something else."""

REFERENCES = {"product_id", "category_id", "parent_id", "user_id", "to_account_id", "from_account_id", "tags"}


def quoted(text: str) -> str:
    """A text as it stands in a URL; half a surrogate pair as the bytes that UTF-8 does not allow."""
    return quote_from_bytes(text.encode("utf-8", "surrogatepass"), safe="")


class RawQueries:
    """Hands a query string on as it is: a client would mend it."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self.query = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app({**scope, "query_string": self.query}, receive, send)


class World:
    """The shop, and a member of staff who sends it requests. What a request changed is undone before the next one."""

    def __init__(self, app: FastAPI, document: Document, contract: Contract) -> None:
        self.document = document
        self.database: Database = app.state.database
        self.raw = RawQueries(app)
        self.client = AsyncClient(transport=CheckedTransport(self.raw, contract), base_url="http://test.example")
        self.secret = ""
        self.ids: dict[str, int] = {}
        self.values: dict[str, Any] = {}
        self.rows = Seed({})
        self.changed_by: Operation | str | None = None
        self.done_once: set[Operation] = set()

    async def send(
        self,
        operation: Operation,
        *,
        path: Mapping[str, str] | None = None,
        query: bytes | None = None,
        headers: Mapping[str, bytes] | None = None,
        content: bytes | AsyncIterator[bytes] | None = None,
        after_others: bool = False,
    ) -> Response:
        """Send the valid request of an operation, but for what is given; what comes back never holds a secret.

        With `after_others`, what the same operation changed before may stay; found in its way, it is undone after all.
        """
        is_done_again = after_others and self.changed_by == operation and operation not in self.done_once
        if self.changed_by and not is_done_again:
            await self.rows.restore(self.database)
            self.changed_by = None
        self.raw.query = self.query(operation) if query is None else query
        sent = {b"Authorization": f"Bearer {self.secret}".encode()}
        sent |= {name.encode(): value for name, value in (headers or {}).items()}
        if operation.media_type:
            sent.setdefault(b"Content-Type", operation.media_type.encode())
            if content is None:
                content = self.form(operation) if operation.media_type == FORM else written(self.body(operation))
        target = operation.path.format_map({**self.path(operation), **(path or {})})
        response = await self.client.request(operation.method, target, headers=sent, content=content)
        assert response.status_code < 500, response.text
        assert not any(secret in response.text for secret in (PASSWORD, SECRET, self.secret)), response.text
        # A wrong password is counted, and changes something too.
        if is_done_again and response.status_code in {403, 404, 409}:
            self.done_once.add(operation)
            return await self.send(operation, path=path, query=query, headers=headers, content=content)
        if operation.method != "GET" and (response.is_success or operation.path.startswith("/auth")):
            self.changed_by = operation
        return response

    def path(self, operation: Operation) -> dict[str, str]:
        known = {**self.values, "id": self.ids.get(operation.path.split("/")[1])}
        return {each["name"]: str(known[each["name"]]) for each in operation.parameters("path")}

    def query(self, operation: Operation, **changed: str) -> bytes:
        required = [each for each in operation.parameters("query") if each["required"]]
        sent = {each["name"]: str(self._value(each["name"], each["schema"])) for each in required} | changed
        return "&".join(f"{name}={quoted(text)}" for name, text in sent.items()).encode()

    def _value(self, name: str, schema: dict[str, Any]) -> Any:
        return self.values[name] if name in self.values else self.document.example(schema)

    def body(self, operation: Operation) -> Any:
        """The example of the document, with what refers to other rows referring to those of this shop."""
        body = self._referring(self.document.example(operation.body))
        if operation.path == "/auth/token":
            body["username"] = self.values["username"]
        return body

    def form(self, operation: Operation, **changed: str) -> bytes:
        fields = {**self.body(operation), **changed}
        return "&".join(f"{name}={quoted(text)}" for name, text in fields.items()).encode()

    def _referring(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._referring(each) for each in value]
        if not isinstance(value, dict):
            return value
        return {
            name: self.values[name] if name in REFERENCES else self._referring(each) for name, each in value.items()
        }

    async def post(self, path: str, body: Any) -> Response:
        """Send a request beside others like it."""
        headers = {"Authorization": f"Bearer {self.secret}", "Content-Type": JSON}
        self.raw.query = b""
        self.changed_by = path
        return await self.client.post(path, headers=headers, content=written(body))

    async def fill(self) -> None:
        async with FreshSession(self.database.engine) as session:
            await self._fill(session)
        self.rows = await Seed.of(self.database)

    async def _fill(self, session: AsyncSession) -> None:
        staff = User(username="clerk", email="clerk@example.com", hashed_password=PASSWORD_HASH, is_superuser=True)
        customer = User(username="ann", email="ann@example.com", hashed_password=PASSWORD_HASH, full_name=ODD)
        category = Category(name="Vinyl", slug="vinyl", description=f"x{ODD}x")
        parent = Category(name="Music", slug="music")
        tag, other_tag = Tag(name=ODD, slug="odd"), Tag(name="Even", slug="even")
        await save(session, staff, customer, category, parent, tag, other_tag)
        self.secret, token = new_token(staff, TokenKind.SESSION, "Test", timedelta(days=1))
        token.last_used_at = utcnow()
        _, key = new_token(staff, TokenKind.KEY, "Test", timedelta(days=1))
        product = Product(
            name="Blue",
            slug="blue",
            sku="BLUE-1",
            description=ODD,
            price=Decimal(100),
            stock_quantity=100_000,
            category_id=category.id,
        )
        post = Post(title="Blue", slug="blue", content=ODD, author_id=staff.id, status=PostStatus.PUBLISHED)
        order = Order(user_id=customer.id, total_amount=Decimal(1_000), paid_amount=Decimal(100))
        account = Account(user_id=staff.id, name="Credit of the clerk", balance=Decimal(500))
        other_account = Account(user_id=customer.id, name="Credit of Ann")
        await save(session, token, key, product, post, order, account, other_account)
        issued = (await session.exec(select(Account).where(Account.name == ShopAccount.ISSUED))).one()
        payment = Payment(
            order_id=order.id, method=PaymentMethod.CASH, amount=Decimal(100), refunded_amount=Decimal(10)
        )
        notification = Notification(user_id=staff.id, kind=NotificationKind.CREDIT_RECEIVED, message="500.00")
        line = OrderItem(
            order_id=order.id,
            product_id=product.id,
            product_name=product.name,
            sku=product.sku,
            quantity=10,
            unit_price=product.price,
            total_price=order.total_amount,
        )
        issued.balance -= Decimal(500)
        await save(
            session,
            issued,
            payment,
            notification,
            PostTag(post_id=post.id, tag_id=tag.id),
            line,
            OrderEvent(order_id=order.id, to_status=OrderStatus.PENDING, user_id=customer.id),
            StockMovement(product_id=product.id, delta=100_000, reason=StockReason.INITIAL),
            Transaction(from_account_id=issued.id, to_account_id=account.id, amount=Decimal(500)),
        )
        await save(session, Refund(payment_id=payment.id, amount=Decimal(10), reason="Scratched"))
        self.ids = {
            **{"auth": key.id, "users": customer.id, "categories": category.id, "products": product.id},
            **{"orders": order.id, "payments": payment.id, "accounts": account.id, "posts": post.id},
            **{"tags": tag.id, "notifications": notification.id},
        }
        self.values = {
            **{"product_id": product.id, "category_id": category.id, "parent_id": parent.id, "user_id": customer.id},
            **{"from_account_id": account.id, "to_account_id": other_account.id, "tags": [tag.slug]},
            **{"email": customer.email, "username": customer.username, "sku": product.sku, "slug": product.slug},
            **{"q": "ann", "days": 30},
        }


def written(body: Any) -> bytes:
    return json.dumps(body).encode()
