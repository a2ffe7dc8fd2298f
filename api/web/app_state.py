"""What the app keeps while it runs, and how a request finds it."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request

from api.database.sessions import Database
from api.settings import Settings

Identify = Callable[[Request], Awaitable[int | None]]
"""Returns the caller's id, `None` without a token. `main` sets it, because `web` must not import `auth`."""


def database_of(request: Request) -> Database:
    """The database that the app opened when it started."""
    database: Database = request.app.state.database
    return database


async def caller_id_of(request: Request) -> int | None:
    """The id of the user who sends a request; `None` where it comes without a token.

    Raises:
        Unauthorized: The token is invalid or has expired.
    """
    identify: Identify = request.app.state.identify
    return await identify(request)


async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def _database(request: Request) -> Database:
    return database_of(request)


AppSettings = Annotated[Settings, Depends(_settings)]
AppDatabase = Annotated[Database, Depends(_database)]
