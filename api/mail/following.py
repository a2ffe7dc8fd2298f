"""The mails that tell of events: written in the transaction that moves the follower's position in the feed."""

from collections.abc import Sequence
from datetime import timedelta

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.base import utcnow
from api.models.event import Event, EventType
from api.models.mail import KINDS_OF_EVENTS, Mail
from api.models.order import Order
from api.models.payment import Payment

LONGEST_WAIT = timedelta(days=4)
"""For a mail to be sent, as mail servers wait themselves (RFC 5321, section 4.5.4.1). Then it is no news any more."""


async def queue_mails(session: AsyncSession, events: Sequence[Event]) -> None:
    """Queue the mails that customers get of these events."""
    since = utcnow() - LONGEST_WAIT
    told = [each for each in events if each.type in KINDS_OF_EVENTS and each.timestamp > since]
    orders = await _orders_of_refunds(session, [each for each in told if each.type is EventType.PAYMENT_REFUNDED])
    for event in told:
        order_id, user_id = orders.get(event.id) or (event.data["id"], event.data["user_id"])
        kind, about = KINDS_OF_EVENTS[event.type], f"orders/{order_id}"
        session.add(Mail(kind=kind, event_id=event.id, user_id=user_id, about=about))
    await session.flush()


async def _orders_of_refunds(session: AsyncSession, events: Sequence[Event]) -> dict[int, tuple[int, int]]:
    """The order and its user, by the event of a refund, which names a payment alone."""
    if not events:
        return {}
    payment_ids = {each.data["payment_id"] for each in events}
    orders = select(Payment.id, Order.id, Order.user_id).join(Order, col(Payment.order_id) == col(Order.id))
    found = {row[0]: (row[1], row[2]) for row in await session.exec(orders.where(col(Payment.id).in_(payment_ids)))}
    return {each.id: found[each.data["payment_id"]] for each in events}
