"""Which deliveries of events a webhook is sent next: of each subject the first one that waits."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.webhook_delivery import WebhookDelivery
from api.worker.channels import is_pending, is_unclaimed

LOOKED_AT = 500
"""The oldest deliveries that wait, which mostly have enough that may be sent now."""


async def find_next(session: AsyncSession, webhook_id: int, now: datetime, limit: int) -> Sequence[int]:
    """The ids of deliveries to one webhook that may be sent now, in order."""
    for most in (LOOKED_AT, None):
        if found := (await session.exec(_first_of_subjects(webhook_id, now, most).limit(limit))).all():
            return list(found)
    return []


def _first_of_subjects(webhook_id: int, now: datetime, most: int | None) -> Any:
    """Of the oldest so many deliveries that wait, or of all, the first one of each subject, if it may be sent now.

    They are numbered in one pass. Whoever asks of each whether there is an earlier one has PostgreSQL, which knows
    little of a table that was empty a minute ago, go through all that wait for each that waits.
    """
    delivery: Any = WebhookDelivery
    waiting = select(delivery.id, delivery.subject, delivery.due_at, delivery.claimed_until)
    its = (delivery.webhook_id == webhook_id, is_pending(delivery), delivery.event_id.is_not(None))
    oldest = waiting.where(*its).order_by(delivery.id).limit(most).subquery()
    place = func.row_number().over(partition_by=oldest.c.subject, order_by=oldest.c.id).label("place")
    columns: list[Any] = [*oldest.c, place]
    placed = select(*columns).subquery().c
    is_next = (placed.place == 1, placed.due_at <= now, is_unclaimed(placed, now))
    return select(col(placed.id)).where(*is_next).order_by(placed.id)
