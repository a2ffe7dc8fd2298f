"""The rows of `jobs`, each of which is added by the worker that misses it first."""

from collections.abc import Iterable

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, func, select, update

from api.database.sessions import Database
from api.models.event import Event
from api.models.job import Job

RELAY = "relay"
"""The row that has the last position in the feed. It is never due: see `relay.py`."""


async def positions_of(database: Database, names: Iterable[str]) -> dict[str, int]:
    """The positions of the rows that there are."""
    async with database.reads() as session:
        rows = select(col(Job.name), col(Job.position)).where(col(Job.name).in_(list(names)))
        return dict((await session.exec(rows)).all())


async def add_missing_rows(database: Database, names: Iterable[str]) -> bool:
    """Add those rows that are missing, and return whether there were such; another worker may do the same.

    They begin at the present end of the feed: whoever follows it is told of what happens from now on.
    """
    wanted = set(names)
    known = await positions_of(database, wanted | {RELAY})
    async with database.reads() as session:
        last = (await session.exec(select(func.max(Event.position)))).one() or 0
    position = max(last, known.get(RELAY, 0))  # the last events of all may be purged
    for name in wanted - known.keys():
        try:
            async with database.transaction() as session:
                session.add(Job(name=name, position=position))
        except IntegrityError:
            if name not in await positions_of(database, [name]):
                raise
    return not wanted <= known.keys()


async def skip_to_end(database: Database, names: Iterable[str]) -> None:
    """Have followers leave out what has happened so far, also what has no place in the feed yet.

    Nobody is to hear of what was invented. The relay gives places without gaps, so the last one of these is known.
    """
    followers = list(names)
    await add_missing_rows(database, [RELAY, *followers])
    async with database.transaction() as session:
        last = (await session.exec(select(Job.position).where(Job.name == RELAY).with_for_update())).one()
        waiting = (await session.exec(select(func.count()).where(col(Event.position).is_(None)))).one()
        await session.exec(update(Job).where(col(Job.name).in_(followers)).values(position=last + waiting))
