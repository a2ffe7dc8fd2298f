"""A database that is opened more than once, as by several workers, and a receiver of webhooks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from api.database.sessions import Database
from api.settings import Settings
from tests.sink import Sink, a_sink
from tests.worker.support import OpenWorker, Worker


@pytest.fixture
def open_worker(settings: Settings, database: Database) -> OpenWorker:
    """Opens the database of the test once more."""

    @asynccontextmanager
    async def open_worker() -> AsyncIterator[Database]:
        opened = Database(settings)
        try:
            yield opened
        finally:
            await opened.close()

    return open_worker


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with a_sink() as sink:
        yield sink


@pytest.fixture
async def worker(database: Database, settings: Settings) -> AsyncIterator[Worker]:
    """A worker that has begun to follow the feed."""
    worker = Worker(database, settings)
    await worker.work()
    yield worker
    await worker.queue.finish(database)
