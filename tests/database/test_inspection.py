"""What the start says of a database."""

from datetime import timedelta

from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.inspection import WORKER_PATIENCE, inspect
from api.database.sessions import Database
from api.models.base import utcnow
from api.settings import Settings
from tests.factories import an_event
from tests.support import save


async def test_a_start_says_so_where_events_wait_and_no_worker_runs(
    database: Database, session: AsyncSession, settings: Settings
) -> None:
    await an_event(session, position=1, timestamp=utcnow() - timedelta(days=1))
    waiting = await an_event(session, timestamp=utcnow() - WORKER_PATIENCE + timedelta(minutes=1))
    await an_event(session)
    assert await inspect(database, settings) == []

    waiting.timestamp -= timedelta(minutes=20)
    await save(session, waiting)

    (line,) = await inspect(database, settings)
    assert "waiting for the worker for 29 minutes" in line
    assert "`python -m api worker`" in line
