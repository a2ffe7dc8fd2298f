"""What is deleted when its time is over: keys, tokens, counted attempts, and events that were told."""

from datetime import timedelta
from typing import NamedTuple

from sqlmodel import col, delete, select

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
    async with database.transaction() as session:
        attempts = await throttling.purge(session)
        keys, expired = await stored_answers.purge(session), await tokens.purge(session)
    return Purged(keys, expired, attempts, await _purge_events(database))


async def _purge_events(database: Database) -> int:
    """Delete old events; one without a place in the feed, which nobody can have read, stays."""
    told = (col(Event.position).is_not(None), col(Event.timestamp) < utcnow() - EVENT_LIFETIME)
    oldest = select(Event.id).where(*told).order_by(col(Event.position)).limit(EVENTS_AT_A_TIME)
    deleted = 0
    while True:
        async with database.transaction() as session:
            ids = (await session.exec(oldest)).all()
            await session.exec(delete(Event).where(col(Event.id).in_(ids)))
        deleted += len(ids)
        if len(ids) < EVENTS_AT_A_TIME:
            return deleted
