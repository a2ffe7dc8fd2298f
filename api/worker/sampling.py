"""What is measured from time to time, because no single thing that happens tells it: waits, backlogs, the process."""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlmodel import col, func, select

from api.database.errors import DATABASE_ERRORS, message_of
from api.database.sessions import Database
from api.database.sqlalchemy_internals import waiting_for
from api.errors import ShopError
from api.models.base import utcnow
from api.models.event import Event, EventType
from api.models.mail import Mail
from api.models.webhook_delivery import WebhookDelivery
from api.telemetry.instruments import Instruments
from api.telemetry.metrics import metrics

logger = logging.getLogger(__name__)

PAUSE = 1.0
"""Seconds between two samples of the process."""

BACKLOG_EVERY = 10
"""Samples; how much waits is asked of the database, by every process, because a worker that is dead tells nothing."""

BACKLOG_TIMEOUT = 5.0

BACKLOGS: Mapping[str, Any] = {
    "events": select(func.count(), func.min(Event.timestamp)).where(col(Event.position).is_(None)),
    "webhooks": select(func.count(), func.min(WebhookDelivery.created_at)).where(WebhookDelivery.is_awaited()),
    "mails": select(func.count(), func.min(Mail.created_at)).where(Mail.is_awaited()),
}
"""How many rows wait, and since when the oldest does, by the name of what they wait for. Another table that is worked
off by the worker adds its line here, and the dashboard and the alert have it."""


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
    for queue, statement in BACKLOGS.items():
        try:
            async with asyncio.timeout(BACKLOG_TIMEOUT), database.reads() as session:
                rows, oldest = (await session.exec(statement)).one()
        except (*DATABASE_ERRORS, ShopError, TimeoutError) as error:
            logger.debug("the backlog of %s is not known: %s", queue, message_of(error) or type(error).__name__)
            continue
        found.backlog.labels(queue).set(rows)
        found.backlog_age.labels(queue).set(_age(oldest))


def _age(oldest: datetime | None) -> float:
    return 0.0 if oldest is None else max(0.0, (utcnow() - oldest).total_seconds())
