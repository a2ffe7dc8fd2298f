"""Pauses: a webhook that fails is left alone, longer and longer, and is tried with one delivery then.

So one that is down is not called for each of ten thousand deliveries. Once it takes one, it gets all that are waiting,
in order. One that takes none for days, or says that it is gone, is disabled, and staff are told. Its deliveries wait
until it is enabled.
"""

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement
from sqlmodel import col, func, or_, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.backoff import backoff
from api.models.base import utcnow
from api.models.outgoing import OutgoingStatus
from api.models.webhook import Webhook
from api.models.webhook_delivery import WebhookDelivery
from api.rules.disabled_webhooks import tell_staff

logger = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 5.0, 1_800.0
"""Seconds at most. After half an hour one that is up again is soon found."""

OUTAGE = 3
"""Failures in a row after which a webhook was down, and did not only refuse one delivery."""

PATIENCE = timedelta(days=5)
"""Time of nothing but failures after which a webhook is disabled."""

DOWN = f"It took no delivery for {PATIENCE.days} days."
GONE = "It answered 410: it is gone for good."


class Trouble(NamedTuple):
    """What an attempt says of a webhook."""

    url: str
    """Where it went: it says nothing of another URL that staff have given the webhook meanwhile."""
    failures: int
    """How often it had failed before the attempt."""
    retry_after: float = 0
    """Seconds for which it asked to be left alone."""
    is_gone: bool = False


async def note_success(session: AsyncSession, webhook_id: int, attempts: Sequence[Trouble]) -> None:
    """It is up. After an outage, what it did not take then is due. All attempts went to one URL."""
    failures = max(each.failures for each in attempts)
    is_failing = or_(col(Webhook.failures) > 0, col(Webhook.failing_since).is_not(None))
    up = update(Webhook).where(*_at(webhook_id, attempts), is_failing)
    await session.exec(up.values(failures=0, failing_since=None, paused_until=None))
    if failures >= OUTAGE:
        now = utcnow()
        waiting = (
            col(WebhookDelivery.webhook_id) == webhook_id,
            col(WebhookDelivery.status) == OutgoingStatus.PENDING,
            col(WebhookDelivery.due_at) > now,
        )
        await session.exec(update(WebhookDelivery).where(*waiting).values(due_at=now))


async def note_failure(
    session: AsyncSession, webhook_id: int, attempts: Sequence[Trouble], *, tells_by_mail: bool
) -> None:
    """It is down, or refuses a delivery. Attempts of one moment count once, also where several workers made them.

    All attempts went to one URL.
    Where it is disabled, staff are told in the same transaction: by a mail too, where mail is sent.
    """
    now, its = utcnow(), (*_at(webhook_id, attempts), col(Webhook.is_active).is_(True))
    failures = min(each.failures for each in attempts) + 1
    wait = backoff(failures, first=FIRST_PAUSE, longest=LONGEST_PAUSE)
    wait = max(wait, *(each.retry_after for each in attempts))
    await session.exec(
        update(Webhook)
        .where(*its, col(Webhook.failures) == failures - 1)
        .values(
            failures=failures,
            failing_since=func.coalesce(Webhook.failing_since, now),
            paused_until=now + timedelta(seconds=wait),
        )
    )
    if any(each.is_gone for each in attempts):
        is_disabled = await _disable(session, webhook_id, GONE, *its)
    else:
        is_disabled = await _disable(session, webhook_id, DOWN, *its, col(Webhook.failing_since) <= now - PATIENCE)
    if is_disabled:
        await tell_staff(session, webhook_id, by_mail=tells_by_mail)


def _at(webhook_id: int, attempts: Sequence[Trouble]) -> tuple[ColumnElement[bool], ...]:
    """A webhook, for as long as it is where the attempts went."""
    return col(Webhook.id) == webhook_id, col(Webhook.url) == attempts[0].url


async def _disable(session: AsyncSession, webhook_id: int, reason: str, *where: ColumnElement[bool]) -> bool:
    off = {"is_active": False, "disabled_at": utcnow(), "disabled_reason": reason}
    disabled = await session.exec(update(Webhook).where(*where).values(**off))
    if disabled.rowcount:
        logger.warning("webhook %d was disabled: %s", webhook_id, reason)
    return bool(disabled.rowcount)
