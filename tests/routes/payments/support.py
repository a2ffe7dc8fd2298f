"""Requests that the tests of several files of this folder send, and what they leave in the database."""

from typing import Any

from httpx import AsyncClient, Response
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.notification import Notification, NotificationKind
from api.models.order import Order, OrderStatus
from api.models.order_event import OrderEvent
from api.models.payment import Payment
from api.models.user import User
from tests.books import rows_of


async def pay_order(client: AsyncClient, order: Order, amount: str, method: str = "card", **fields: Any) -> Response:
    return await client.post(f"/orders/{order.id}/payments", json={"method": method, "amount": amount, **fields})


async def refund_payment(client: AsyncClient, payment: Payment, amount: str) -> Response:
    return await client.post(f"/payments/{payment.id}/refunds", json={"amount": amount, "reason": "Scratched"})


async def statuses_of(session: AsyncSession, order: Order) -> list[OrderStatus]:
    """Every status that an order has had, the first one first."""
    return [event.to_status for event in await rows_of(session, OrderEvent) if event.order_id == order.id]


async def notification_kinds(session: AsyncSession, user: User) -> list[NotificationKind]:
    """The kinds of the notifications of a user, the oldest first."""
    return [each.kind for each in await rows_of(session, Notification) if each.user_id == user.id]
