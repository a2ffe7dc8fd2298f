"""What is deleted when its time is over: keys, tokens, counted attempts, events that were told, and what was sent."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlmodel import col, delete, exists, not_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth import throttling, tokens
from api.database.sessions import Database
from api.models.base import table_classes, utcnow
from api.models.event import Event
from api.models.outgoing import Outgoing, OutgoingStatus
from api.rules import registration
from api.settings import Settings
from api.web import stored_answers
from api.worker.followers import followers
from api.worker.job_rows import positions_of

EVENT_LIFETIME = timedelta(days=30)
"""A program that reads the feed may be down for as long."""

ROWS_AT_A_TIME = 1_000
"""Of one transaction, so that others have their turn."""

OUTGOING_LIFETIME = timedelta(days=30)
"""Whoever asks what became of a message does so within days."""


class Purged(NamedTuple):
    """How many rows were deleted."""

    keys: int
    tokens: int
    attempts: int
    registrations: int
    events: int
    outgoing: int


async def purge(database: Database, settings: Settings) -> Purged:
    """Delete in parts, each in a transaction of its own: on SQLite all writes wait for one."""
    events = await _purge_events(database, [each.name for each in followers(settings)])
    keys = await _until_none_is_left(database, stored_answers.purge)
    expired = await _until_none_is_left(database, tokens.purge)
    attempts = await _until_none_is_left(database, throttling.purge)
    registrations = await _until_none_is_left(database, registration.purge)
    outgoing = [await _purge_outgoing(database, each) for each in outgoing_models()]
    return Purged(keys, expired, attempts, registrations, events, sum(outgoing))


async def _until_none_is_left(database: Database, delete_some: Callable[[AsyncSession], Awaitable[int]]) -> int:
    deleted = 0
    while True:
        async with database.transaction() as session:
            some = await delete_some(session)
        deleted += some
        if not some:
            return deleted


def outgoing_models() -> list[Any]:
    """The table classes of what is sent."""
    return [each for each in table_classes() if issubclass(each, Outgoing)]


async def _purge_events(database: Database, present: Sequence[str]) -> int:
    """Delete old events; one stays that has no place in the feed, so that nobody can have read it, or is to be sent.

    One stays too of which a follower of the present was not told yet, as after weeks without a worker. A follower whose
    row is missing begins at the end of the feed, and one that was switched off is not waited for.
    """
    reached = (await positions_of(database, present)).values()
    told = [col(Event.position).is_not(None), col(Event.timestamp) < utcnow() - EVENT_LIFETIME]
    if reached:
        told.append(col(Event.position) <= min(reached))
    for each in outgoing_models():
        told.append(not_(exists(each.id).where(each.event_id == col(Event.id), each.is_awaited())))
    return await _purge_rows(database, Event, select(Event.id).where(*told).order_by(col(Event.position)))


async def _purge_outgoing(database: Database, model: Any) -> int:
    """Delete what was sent, or failed, long ago."""
    ended = (model.status != OutgoingStatus.PENDING, model.created_at < utcnow() - OUTGOING_LIFETIME)
    return await _purge_rows(database, model, select(model.id).where(*ended).order_by(model.id))


async def _purge_rows(database: Database, model: Any, oldest: Any) -> int:
    deleted = 0
    while True:
        async with database.reads() as session:  # the last time it visits all rows, for which no write waits
            ids = (await session.exec(oldest.limit(ROWS_AT_A_TIME))).all()
        if not ids:
            return deleted
        async with database.transaction() as session:
            await session.exec(delete(model).where(model.id.in_(ids)))
        deleted += len(ids)
