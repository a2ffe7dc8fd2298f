"""What the worker does, each over and over, until it is stopped."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from api.backoff import backoff
from api.database.errors import DATABASE_ERRORS, is_transient, message_of
from api.database.sessions import Database
from api.database.trail import running_command
from api.errors import ShopError
from api.settings import Settings
from api.telemetry.metrics import metrics
from api.worker import webhooks
from api.worker.channels import Channel
from api.worker.fan_out import fan_out
from api.worker.followers import followers
from api.worker.jobs import CHORES, run_due
from api.worker.mail import MailChannel
from api.worker.queue import Queue
from api.worker.relay import relay

logger = logging.getLogger(__name__)

FIRST_BACKOFF, LONGEST_BACKOFF = 0.5, 30.0
"""Seconds to wait at most after an error, doubled with each one that follows."""

STOP_GRACE = 5.0
"""Seconds for what is being done when the worker is stopped."""


class Duty(NamedTuple):
    """Something that the worker does again and again: at once where it says that there is more, else after a pause."""

    name: str
    step: Callable[[Database], Awaitable[bool]]
    pause: float
    """Seconds, more or less: several workers do not come at once."""
    time_limit: float | None
    """Seconds for one step, on a connection that a firewall forgot; `None` where it has one of its own."""
    finish: Callable[[Database], Awaitable[None]] | None = None
    """What is done when the worker is stopped."""


def channels(settings: Settings) -> Sequence[Channel[Any]]:
    """How rows of what is sent are sent. Each worker has channels of its own, with their connections."""
    deliveries = webhooks.Deliveries(settings)
    return (deliveries, MailChannel(settings)) if settings.has_mail else (deliveries,)


def duties(settings: Settings) -> list[Duty]:
    """What a worker does."""
    queues = [(channel.name, Queue(channel)) for channel in channels(settings)]
    return [
        Duty("relay", relay, pause=0.5, time_limit=30),
        Duty("fan-out", partial(fan_out, followers=followers(settings)), pause=0.5, time_limit=30),
        Duty("jobs", partial(run_due, settings=settings), pause=30, time_limit=None),
        *(Duty(name, each.step, pause=0.5, time_limit=30, finish=each.finish) for name, each in queues),
    ]


async def work(database: Database, settings: Settings, stop: asyncio.Event) -> None:
    """Do all duties beside each other until `stop` is set; what is being done then may end."""
    found = duties(settings)
    metrics.may_fail([*CHORES, *(each.name for each in found)])
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_repeat(each, database, stop)) for each in found]
        await stop.wait()
        _, late = await asyncio.wait(tasks, timeout=STOP_GRACE)
        for each in late:
            each.cancel()


async def _repeat(duty: Duty, database: Database, stop: asyncio.Event) -> None:
    failures = 0
    running_command.set(duty.name)
    while not stop.is_set():
        try:
            async with asyncio.timeout(duty.time_limit):
                is_more = await duty.step(database)
            failures, pause = 0, 0.0 if is_more else duty.pause
        except (*DATABASE_ERRORS, ShopError, TimeoutError) as error:
            failures += 1
            pause = backoff(failures, first=FIRST_BACKOFF, longest=LONGEST_BACKOFF)
            if failures > 1 or not (isinstance(error, DATABASE_ERRORS) and is_transient(error)):
                metrics.failed(duty.name)
                logger.warning("%s is tried again: %s", duty.name, message_of(error) or type(error).__name__)
        except Exception:  # a mistake of the shop's own, which must not end the other duties
            failures, pause = failures + 1, LONGEST_BACKOFF
            metrics.failed(duty.name)
            logger.exception("%s ended with an error, and is tried again", duty.name)
        with suppress(TimeoutError):
            async with asyncio.timeout(pause * random.uniform(0.75, 1.25)):  # noqa: S311
                await stop.wait()
    if duty.finish is not None:
        try:
            await duty.finish(database)
        except (*DATABASE_ERRORS, ShopError, TimeoutError) as error:
            logger.warning("%s was not finished: %s", duty.name, message_of(error) or type(error).__name__)
