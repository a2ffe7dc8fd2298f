"""What the app keeps while it runs, and how a request finds it."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request

from api.database.sessions import Database
from api.settings import Settings

Identify = Callable[[Request], Awaitable[int | None]]
"""Returns the caller's id, `None` without a token. `main` sets it, because `web` must not import `auth`."""

HashSlowly = Callable[[bytes, bytes], Awaitable[str]]
"""Returns the hash of a text that holds a password, by a salt. `main` sets it too."""

INVALID_TOKEN = "The token is invalid or has expired. Sign in again. `POST /auth/token` gives a new one."  # noqa: S105


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


async def hash_slowly(request: Request, text: bytes, salt: bytes) -> str:
    """A hash from which a password in the text is as hard to guess as from a password's own hash."""
    hash_text: HashSlowly = request.app.state.hash_slowly
    return await hash_text(text, salt)


async def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


async def uses_database_itself(request: Request) -> Database:
    return database_of(request)


AppSettings = Annotated[Settings, Depends(_settings)]

AppDatabase = Annotated[Database, Depends(uses_database_itself)]
"""For what is done outside of the route's own transaction."""
