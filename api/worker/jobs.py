"""Jobs: what has to happen in time, once, whichever worker does it.

A worker claims a job by one conditional UPDATE, whose row count decides, for the time of a lease. One that fails is
tried again later. One whose worker was killed is run again when its lease is over, so what it does can be done twice.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import and_, col, or_, select, update

from api.backoff import backoff
from api.database.errors import DATABASE_ERRORS, message_of
from api.database.sessions import Database
from api.database.trail import running_command
from api.errors import ShopError
from api.models.base import utcnow
from api.models.job import MAX_ERROR_LENGTH, Job
from api.settings import Settings
from api.telemetry.metrics import metrics
from api.worker.job_rows import add_missing_rows
from api.worker.purging import purge

logger = logging.getLogger(__name__)

FIRST_BACKOFF = timedelta(minutes=1)
"""After a failure, doubled with each one that follows, up to the time between two runs."""

EXPECTED = (*DATABASE_ERRORS, ShopError, TimeoutError)
"""Errors that one line says enough of; of another one, which is a mistake of the shop's own, the log has it all."""

MARGIN = timedelta(seconds=30)
"""Before the end of its lease a job is stopped, so that no two workers are at it."""


@dataclass(frozen=True)
class Chore:
    """What a job does, how often, and how long it may take."""

    run: Callable[[Database, Settings], Awaitable[object]]
    every: timedelta
    lease: timedelta


CHORES = {"purge": Chore(purge, every=timedelta(days=1), lease=timedelta(minutes=15))}
"""All jobs by their names."""


async def run_due(database: Database, settings: Settings) -> bool:
    """Run each job that is due and that no other worker runs; return whether one was run."""
    async with database.reads() as session:
        is_free = dict((await session.exec(select(Job.name, _is_free(utcnow())))).all())
    if not is_free.keys() >= CHORES.keys():
        return await add_missing_rows(database, CHORES)
    ran = False
    for name, chore in CHORES.items():
        if is_free[name] and (lease := await _claim(database, name, chore)):
            await _run(database, settings, name, chore, lease)
            ran = True
    return ran


def _is_free(now: datetime) -> ColumnElement[bool]:
    """Jobs that are due, and that nobody runs or whose worker has gone."""
    unclaimed = or_(col(Job.claimed_until).is_(None), col(Job.claimed_until) <= now)
    return and_(col(Job.due_at) <= now, unclaimed)


async def _claim(database: Database, name: str, chore: Chore) -> datetime | None:
    """The end of the lease; `None` where another worker was faster."""
    now = utcnow()
    claim = update(Job).where(col(Job.name) == name, _is_free(now)).values(claimed_until=now + chore.lease)
    async with database.transaction() as session:
        claimed = (await session.exec(claim)).rowcount
    return now + chore.lease if claimed else None


async def _run(database: Database, settings: Settings, name: str, chore: Chore, lease: datetime) -> None:
    mine = (col(Job.name) == name, col(Job.claimed_until) == lease)
    running_command.set(name)
    try:
        async with asyncio.timeout((chore.lease - MARGIN).total_seconds()):
            await chore.run(database, settings)
    except Exception as error:  # whatever it is, the other jobs go on
        message = message_of(error) or type(error).__name__
        metrics.failed(name)
        logger.error(
            "the job %s failed, and is tried again: %s", name, message, exc_info=not isinstance(error, EXPECTED)
        )
        async with database.transaction() as session:
            job = (await session.exec(select(Job).where(*mine).with_for_update())).one_or_none()
            if job is not None:  # no other worker has it, because this one slept beyond its lease
                job.failures += 1
                job.error = message[:MAX_ERROR_LENGTH]
                wait = backoff(job.failures, first=FIRST_BACKOFF.total_seconds(), longest=chore.every.total_seconds())
                job.due_at = utcnow() + timedelta(seconds=wait)
                job.claimed_until = None
    else:
        done: dict[str, Any] = {"claimed_until": None, "finished_at": utcnow(), "failures": 0, "error": None}
        async with database.transaction() as session:
            await session.exec(update(Job).where(*mine).values(**done, due_at=utcnow() + chore.every))
