"""What a mail says, found out when it is sent: by its event, its user as the user is then, and what it tells of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.base import utcnow
from api.models.event import Event
from api.models.mail import KINDS_OF_EVENTS, Mail, MailKind
from api.models.order import Order
from api.models.order_item import OrderItem
from api.models.payment import Payment
from api.models.registration import Registration
from api.models.user import User
from api.models.webhook import Webhook


@dataclass(frozen=True)
class Contents:
    """To whom a mail goes, and the values of its template."""

    address: str
    values: Mapping[str, Any]


async def contents_of(session: AsyncSession, mail: Mail) -> Contents | str:
    """What a mail says, or in words why it is not sent."""
    if mail.kind is MailKind.REGISTRATION:
        return await _of_registration(session, mail)
    user = None if mail.user_id is None else await session.get(User, mail.user_id)
    if user is None or not (user.is_active or (mail.kind is MailKind.EMAIL_CHANGED and user.erased_at is None)):
        return "The user was deactivated or erased."
    if mail.kind is MailKind.EMAIL_CONFIRMATION and user.pending_email != mail.address:
        return "Another address was chosen meanwhile."
    values: dict[str, Any] = {"name": user.full_name or user.username, "username": user.username, "email": user.email}
    if mail.kind in KINDS_OF_EVENTS.values():
        order = await _order_of(session, mail)
        if order is None:
            return "Its event has been deleted."
        values |= order
    if mail.kind is MailKind.WEBHOOK_DISABLED:
        webhook = await session.get(Webhook, int(mail.about.rpartition("/")[2]))
        if webhook is None or webhook.is_active:
            return "The webhook was enabled or deleted meanwhile."
        values["webhook"] = webhook
    return Contents(mail.address or user.email, values)


async def _of_registration(session: AsyncSession, mail: Mail) -> Contents | str:
    """Nobody has confirmed the address, so of what was written only the username is shown."""
    registration = None if mail.registration_id is None else await session.get(Registration, mail.registration_id)
    if registration is None or registration.expires_at <= utcnow():
        return "The registration was confirmed, or has expired."
    until = registration.expires_at
    values = {"username": registration.username, "until": f"{until.day} {until:%B %Y, %H:%M} UTC"}
    return Contents(registration.email, values)


async def _order_of(session: AsyncSession, mail: Mail) -> dict[str, Any] | None:
    """The order as its event tells of it, its lines, and the refund where there is one."""
    event = None if mail.event_id is None else await session.get(Event, mail.event_id)
    if event is None:
        return None
    if mail.kind is not MailKind.PAYMENT_REFUNDED:
        return {"order": event.data, "lines": await _lines_of(session, event.data["id"])}
    orders = select(Order).join(Payment, col(Payment.order_id) == col(Order.id))
    order = (await session.exec(orders.where(Payment.id == event.data["payment_id"]))).one()
    told = order.model_dump(include={"id", "order_number", "total_amount"})
    return {"order": told, "lines": await _lines_of(session, order.id), "refund": event.data}


async def _lines_of(session: AsyncSession, order_id: int) -> list[OrderItem]:
    lines = select(OrderItem).where(OrderItem.order_id == order_id).order_by(col(OrderItem.id))
    return list((await session.exec(lines)).all())
