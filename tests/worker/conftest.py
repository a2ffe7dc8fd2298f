"""A database that is opened more than once, as by several workers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from api.database.sessions import Database
from api.settings import Settings
from tests.worker.support import OpenWorker


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
