"""What the worker does, each over and over, until it is stopped."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NamedTuple

from api.database.errors import DATABASE_ERRORS, is_transient, message_of
from api.database.sessions import Database
from api.errors import ShopError
from api.worker.jobs import run_due
from api.worker.relay import relay

logger = logging.getLogger(__name__)

FIRST_BACKOFF, LONGEST_BACKOFF = 0.5, 30.0
"""Seconds after an error, doubled with each one that follows."""

MOST_DOUBLINGS = 10
"""More than the longest wait needs. A night without a database would be too many for a float."""

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


DUTIES = (Duty("relay", relay, pause=0.5, time_limit=30), Duty("jobs", run_due, pause=30, time_limit=None))


async def work(database: Database, stop: asyncio.Event) -> None:
    """Do all duties beside each other until `stop` is set; what is being done then may end."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_repeat(each, database, stop)) for each in DUTIES]
        await stop.wait()
        _, late = await asyncio.wait(tasks, timeout=STOP_GRACE)
        for each in late:
            each.cancel()


async def _repeat(duty: Duty, database: Database, stop: asyncio.Event) -> None:
    failures = 0
    while not stop.is_set():
        try:
            async with asyncio.timeout(duty.time_limit):
                is_more = await duty.step(database)
            failures, pause = 0, 0.0 if is_more else duty.pause
        except (*DATABASE_ERRORS, ShopError, TimeoutError) as error:
            failures += 1
            pause = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** min(failures - 1, MOST_DOUBLINGS))
            if failures > 1 or not (isinstance(error, DATABASE_ERRORS) and is_transient(error)):
                logger.warning("%s is tried again: %s", duty.name, message_of(error) or type(error).__name__)
        except Exception:  # a mistake of the shop's own, which must not end the other duties
            failures, pause = failures + 1, LONGEST_BACKOFF
            logger.exception("%s ended with an error, and is tried again", duty.name)
        with suppress(TimeoutError):
            async with asyncio.timeout(pause * random.uniform(0.75, 1.25)):  # noqa: S311
                await stop.wait()
