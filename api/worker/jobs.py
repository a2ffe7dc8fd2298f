"""Jobs: what has to happen in time, once, whichever worker does it.

A worker claims a job by one conditional UPDATE, whose row count decides, for the time of a lease. One that fails is
tried again later. One whose worker was killed is run again when its lease is over, so what it does can be done twice.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy.exc import IntegrityError
from sqlmodel import and_, col, func, or_, select, update

from api.database.errors import DATABASE_ERRORS, message_of
from api.database.sessions import Database
from api.database.trail import running_command
from api.errors import ShopError
from api.models.base import utcnow
from api.models.event import Event
from api.models.job import MAX_ERROR_LENGTH, Job
from api.worker.purging import purge

logger = logging.getLogger(__name__)

RELAY = "relay"
"""The row that has the last position in the feed. It is never due: see `relay.py`."""

FIRST_BACKOFF = timedelta(minutes=1)
"""After a failure, doubled with each one that follows, up to the time between two runs."""

MOST_DOUBLINGS = 20

EXPECTED = (*DATABASE_ERRORS, ShopError, TimeoutError)
"""Errors that one line says enough of; of another one, which is a mistake of the shop's own, the log has it all."""

MARGIN = timedelta(seconds=30)
"""Before the end of its lease a job is stopped, so that no two workers are at it."""


@dataclass(frozen=True)
class Chore:
    """What a job does, how often, and how long it may take."""

    run: Callable[[Database], Awaitable[object]]
    every: timedelta
    lease: timedelta


CHORES = {"purge": Chore(purge, every=timedelta(days=1), lease=timedelta(minutes=15))}
"""All jobs by their names."""


async def run_due(database: Database) -> bool:
    """Run each job that is due and that no other worker runs; return whether one was run."""
    async with database.reads() as session:
        is_free = dict((await session.exec(select(Job.name, _is_free(utcnow())))).all())
    if not is_free.keys() >= {*CHORES, RELAY}:
        await add_missing_rows(database)
        return True
    ran = False
    for name, chore in CHORES.items():
        if is_free[name] and (lease := await _claim(database, name, chore)):
            await _run(database, name, chore, lease)
            ran = True
    return ran


async def add_missing_rows(database: Database) -> bool:
    """Add the rows of jobs that have none yet, and return whether there were such; another worker may do the same."""
    async with database.reads() as session:
        known = (await session.exec(select(Job.name))).all()
        last = (await session.exec(select(func.max(Event.position)))).one() or 0
    missing = {*CHORES, RELAY}.difference(known)
    for name in missing:
        try:
            async with database.transaction() as session:
                session.add(Job(name=name, position=last if name == RELAY else 0))
        except IntegrityError:
            logger.debug("another worker added the row of %s", name)
    return bool(missing)


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


async def _run(database: Database, name: str, chore: Chore, lease: datetime) -> None:
    mine = (col(Job.name) == name, col(Job.claimed_until) == lease)
    running_command.set(name)
    try:
        async with asyncio.timeout((chore.lease - MARGIN).total_seconds()):
            await chore.run(database)
    except Exception as error:  # whatever it is, the other jobs go on
        message = message_of(error) or type(error).__name__
        logger.error(
            "the job %s failed, and is tried again: %s", name, message, exc_info=not isinstance(error, EXPECTED)
        )
        async with database.transaction() as session:
            job = (await session.exec(select(Job).where(*mine).with_for_update())).one_or_none()
            if job is not None:  # no other worker has it, because this one slept beyond its lease
                job.failures += 1
                job.error = message[:MAX_ERROR_LENGTH]
                job.due_at = utcnow() + _backoff(job.failures, chore)
                job.claimed_until = None
    else:
        done: dict[str, Any] = {"claimed_until": None, "finished_at": utcnow(), "failures": 0, "error": None}
        async with database.transaction() as session:
            await session.exec(update(Job).where(*mine).values(**done, due_at=utcnow() + chore.every))


def _backoff(failures: int, chore: Chore) -> timedelta:
    longest: timedelta = min(chore.every, FIRST_BACKOFF * 2 ** min(failures - 1, MOST_DOUBLINGS))
    return longest * random.uniform(0.5, 1)  # noqa: S311
