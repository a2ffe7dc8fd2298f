"""The relay: committed events get their places in the feed, one after the other and without gaps.

Ids do not do: a transaction that takes long commits a smaller id after a reader has seen a greater one. Whoever has the
lock on the relay's row gives the next positions, and notes the last one there, in the same transaction. So it can be
killed at any moment, and two workers give none twice.
"""

from sqlalchemy.orm.exc import StaleDataError
from sqlmodel import bindparam, col, select, update

from api.database.outbox import Outbox
from api.database.sessions import Database
from api.models.columns import BigInt
from api.models.event import Event
from api.models.job import Job
from api.worker.job_rows import RELAY, add_missing_rows

EVENTS_AT_A_TIME = 500
"""Events of one transaction, which takes some 50 ms: on SQLite all writes wait for it."""

WITHOUT_PLACE = select(Event.id).where(col(Event.position).is_(None)).order_by(col(Event.id))

EVENTS = Outbox.table
PLACE = (
    update(EVENTS)
    .where(EVENTS.c.id == bindparam("event_id", type_=BigInt), EVENTS.c.position.is_(None))
    .values(position=bindparam("place", type_=BigInt))
)


async def relay(database: Database) -> bool:
    """Give the next events their places, and return whether there may be more of them.

    Raises:
        StaleDataError: An event was erased meanwhile: run it again.
    """
    async with database.reads() as session:
        if (await session.exec(WITHOUT_PLACE.limit(1))).first() is None:
            return False  # most of the time, and without a transaction
    async with database.transaction() as session:
        row = select(Job.position).where(Job.name == RELAY).with_for_update(skip_locked=True)
        last = (await session.exec(row)).first()
        if last is not None:
            ids = (await session.exec(WITHOUT_PLACE.limit(EVENTS_AT_A_TIME))).all()
            places = [{"event_id": event_id, "place": place} for place, event_id in enumerate(ids, last + 1)]
            if places:
                placed = await (await session.connection()).execute(PLACE, places)
                if placed.rowcount != len(places):
                    raise StaleDataError("An event was erased meanwhile.")
                await session.exec(update(Job).where(col(Job.name) == RELAY).values(position=last + len(places)))
            return len(places) == EVENTS_AT_A_TIME
    return await add_missing_rows(database, [RELAY])  # unless another worker has the lock
