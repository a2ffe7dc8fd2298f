"""Fixtures that several files of this folder use."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from api.database.sessions import Database
from api.settings import Settings
from tests.database.support import OpenDatabase


@pytest.fixture
def open_database(settings: Settings) -> OpenDatabase:
    """Opens the database of the test once more, with other settings."""

    @asynccontextmanager
    async def open_database(**changes: Any) -> AsyncIterator[Database]:
        database = Database(Settings(_env_file=None, **{"database_url": settings.database_url, **changes}))
        try:
            yield database
        finally:
            await database.close()

    return open_database
