"""What is measured from time to time, because no single thing that happens tells it: waits, backlogs, the process."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.orm import aliased
from sqlmodel import col, exists, func, not_, null, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.errors import DATABASE_ERRORS, message_of
from api.database.sessions import Database
from api.database.sqlalchemy_internals import waiting_for
from api.errors import ShopError
from api.models.base import utcnow
from api.models.event import Event, EventType
from api.models.mail import Mail
from api.models.outgoing import OutgoingStatus
from api.models.webhook import Webhook
from api.models.webhook_delivery import WebhookDelivery
from api.telemetry.instruments import Instruments
from api.telemetry.metrics import metrics

logger = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds between two samples of the process."""

BACKLOG_EVERY = 10
"""Samples; how much waits is asked of the database, by every process, because a worker that is dead tells nothing."""

BACKLOG_TIMEOUT = 5.0


class Backlog(NamedTuple):
    """What waits for the worker in one table."""

    rows: Any
    """A statement of how many wait, also those that are not due."""
    since: Callable[[datetime], Any]
    """A statement of since when rows wait that could be sent now. Of each of its rows the last moment counts, where its
    first is known. What is tried again later, or whose webhook is paused, waits for somebody else's server."""


def _events(_: datetime) -> Any:
    return select(func.min(Event.timestamp), null()).where(col(Event.position).is_(None))


def _mails(now: datetime) -> Any:
    return select(func.min(Mail.due_at), null()).where(Mail.is_awaited(), col(Mail.due_at) <= now)


def _webhooks(now: datetime) -> Any:
    """For each webhook that takes deliveries, since when its first one could be sent that is not sent.

    A delivery waits for those of its subject before it, and all for the end of a pause. The first one is found by an
    index; to look at all of a large backlog would take longer than there is time for.
    """
    delivery, earlier = WebhookDelivery, aliased(WebhookDelivery)
    waits_for_another = exists(col(earlier.id)).where(
        col(earlier.webhook_id) == col(delivery.webhook_id),
        col(earlier.subject) == col(delivery.subject),
        col(earlier.status) == OutgoingStatus.PENDING,
        col(earlier.id) < col(delivery.id),
        col(earlier.due_at) > now,
    )
    its = (col(delivery.webhook_id) == col(Webhook.id), col(delivery.status) == OutgoingStatus.PENDING)
    sendable = select(col(delivery.due_at)).where(*its, col(delivery.due_at) <= now, not_(waits_for_another))
    due_at = sendable.order_by(col(delivery.id)).limit(1).scalar_subquery()
    paused_until = col(Webhook.paused_until)
    is_free = or_(paused_until.is_(None), paused_until <= now)
    return select(due_at, paused_until).where(col(Webhook.is_active), is_free)


BACKLOGS = {
    "events": Backlog(select(func.count()).where(col(Event.position).is_(None)), _events),
    "webhooks": Backlog(select(func.count()).where(WebhookDelivery.is_awaited()), _webhooks),
    "mails": Backlog(select(func.count()).where(Mail.is_awaited()), _mails),
}
"""What waits, by the name of what it waits for. Another table that is worked off by the worker adds its line here, and
the dashboard and the alert have it."""


async def sample(database: Database, stop: asyncio.Event) -> None:
    """Measure until `stop` is set; where metrics are off, this ends at once."""
    if metrics.instruments is None:
        return
    for each in EventType:  # a counter that appears with its first count has not risen to Prometheus
        metrics.instruments.events.labels(each)
    loop, number = asyncio.get_running_loop(), 0
    while not stop.is_set():
        _sample_waits(database, metrics.instruments)
        if number % BACKLOG_EVERY == 0:
            await _sample_backlogs(database, metrics.instruments)
        number += 1
        due = loop.time() + PAUSE
        with suppress(TimeoutError):
            async with asyncio.timeout_at(due):
                await stop.wait()
        metrics.note_process(max(0.0, loop.time() - due))


def _sample_waits(database: Database, found: Instruments) -> None:
    slots = database.write_slots
    found.write_slots.set(slots.slots)
    found.write_slots_in_use.set(slots.in_use)
    found.write_slots_waiting.set(slots.waiting)
    if pool := database.pool:
        found.pool_size.set(pool.size())
        found.pool_in_use.set(pool.checkedout())
        found.pool_waiting.set(waiting_for(pool))


async def _sample_backlogs(database: Database, found: Instruments) -> None:
    for queue in BACKLOGS:
        try:
            async with asyncio.timeout(BACKLOG_TIMEOUT), database.reads() as session:
                rows, age = await backlog_of(session, queue)
        except (*DATABASE_ERRORS, ShopError, TimeoutError) as error:
            logger.debug("the backlog of %s is not known: %s", queue, message_of(error) or type(error).__name__)
            continue
        found.backlog.labels(queue).set(rows)
        found.backlog_age.labels(queue).set(age)


async def backlog_of(session: AsyncSession, queue: str) -> tuple[int, float]:
    """How many rows wait, and for how many seconds the first of those that could be sent has waited."""
    backlog, now = BACKLOGS[queue], utcnow()
    rows = (await session.exec(backlog.rows)).one()
    waiting = (await session.exec(backlog.since(now))).all()
    since = [max(filter(None, moments)) for moments in waiting if moments[0] is not None]
    return rows, max((max(0.0, (now - each).total_seconds()) for each in since), default=0.0)
