"""What is deleted when its time is over: keys, tokens, counted attempts, and events that were told."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import NamedTuple

from sqlmodel import col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth import throttling, tokens
from api.database.sessions import Database
from api.models.base import utcnow
from api.models.event import Event
from api.web import stored_answers

EVENT_LIFETIME = timedelta(days=30)
"""A program that reads the feed may be down for as long."""

EVENTS_AT_A_TIME = 1_000
"""Of one transaction, so that others have their turn."""


class Purged(NamedTuple):
    """How many rows were deleted."""

    keys: int
    tokens: int
    attempts: int
    events: int


async def purge(database: Database) -> Purged:
    """Delete in parts, each in a transaction of its own: on SQLite all writes wait for one."""
    events = await _purge_events(database)
    keys = await _until_none_is_left(database, stored_answers.purge)
    expired = await _until_none_is_left(database, tokens.purge)
    return Purged(keys, expired, await _until_none_is_left(database, throttling.purge), events)


async def _until_none_is_left(database: Database, delete_some: Callable[[AsyncSession], Awaitable[int]]) -> int:
    deleted = 0
    while True:
        async with database.transaction() as session:
            some = await delete_some(session)
        deleted += some
        if not some:
            return deleted


async def _purge_events(database: Database) -> int:
    """Delete old events; one without a place in the feed, which nobody can have read, stays."""
    told = (col(Event.position).is_not(None), col(Event.timestamp) < utcnow() - EVENT_LIFETIME)
    oldest = select(Event.id).where(*told).order_by(col(Event.position)).limit(EVENTS_AT_A_TIME)
    deleted = 0
    while True:
        async with database.reads() as session:  # the last time it visits all events, for which no write waits
            ids = (await session.exec(oldest)).all()
        if not ids:
            return deleted
        async with database.transaction() as session:
            await session.exec(delete(Event).where(col(Event.id).in_(ids)))
        deleted += len(ids)
