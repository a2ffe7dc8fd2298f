"""Followers of the feed: each is told of every event once, and writes what it will send into a queue.

The rows are written in the transaction that moves the follower's position, by a conditional UPDATE. So it does not
matter which worker does it, how many there are, nor when one is killed.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.event import Event
from api.models.job import Job
from api.worker.job_rows import RELAY, add_missing_rows, positions_of

EVENTS_AT_A_TIME = 200
"""Events of one transaction, which may write a row for each follower of theirs: on SQLite all writes wait for it."""


class Follower(NamedTuple):
    """Someone who is told of events, from the moment on at which a worker first knew of them."""

    name: str
    """That of its row in `jobs`."""
    take: Callable[[AsyncSession, Sequence[Event]], Awaitable[None]]
    """Writes the rows to be sent, in the order of the events, in the transaction of the session."""


async def fan_out(database: Database, followers: Sequence[Follower]) -> bool:
    """Tell each follower of the next events, and return whether there may be more of them."""
    names = [RELAY, *(each.name for each in followers)]
    positions = await positions_of(database, names)
    if positions.keys() < set(names):
        return await add_missing_rows(database, names)
    is_more = False
    for each in followers:
        if positions[each.name] < positions[RELAY]:
            is_more |= await _tell(database, each, positions[each.name], positions[RELAY])
    return is_more


async def _tell(database: Database, follower: Follower, told: int, last: int) -> bool:
    """Tell a follower of events beyond the one that it was told of last; what is erased leaves a gap."""
    following = select(Event).where(col(Event.position) > told, col(Event.position) <= last)
    async with database.transaction() as session:
        events = (await session.exec(following.order_by(col(Event.position)).limit(EVENTS_AT_A_TIME))).all()
        is_more = len(events) == EVENTS_AT_A_TIME
        reached = events[-1].position if is_more else last
        mine = (col(Job.name) == follower.name, col(Job.position) == told)
        moved = await session.exec(update(Job).where(*mine).values(position=reached))
        if not moved.rowcount:
            return True  # another worker told it
        await follower.take(session, events)
    return is_more
