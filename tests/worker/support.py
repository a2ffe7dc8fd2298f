"""What the tests of the worker share."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.event import Event


class OpenWorker(Protocol):
    """Opens the database of the test once more, as another worker does."""

    def __call__(self) -> AbstractAsyncContextManager[Database]: ...


async def feed_of(session: AsyncSession) -> list[tuple[int | None, str]]:
    """The place and the subject of each event that has a place, in order."""
    placed = select(col(Event.position), col(Event.subject)).where(col(Event.position).is_not(None))
    return [(place, subject) for place, subject in await session.exec(placed.order_by(col(Event.position)))]
