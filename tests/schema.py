"""A database whose tables are not those of this release, for the time of a block."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from alembic.script import ScriptDirectory

from api.database.sessions import Database
from tests.support import ROOT

_scripts = ScriptDirectory(ROOT / "migrations")

HEAD = str(_scripts.get_current_head())
OLDEST = str(_scripts.get_base())
"""The last revision of this release, and the first."""


@asynccontextmanager
async def changed(database: Database, change: str, back: str) -> AsyncIterator[None]:
    """Run one statement, and another one that undoes it at the end."""
    await execute(database, change)
    try:
        yield
    finally:
        await execute(database, back)


async def execute(database: Database, statement: str) -> None:
    """Run a statement in autocommit, past the listeners of the app."""
    async with database.connection() as connection:
        await connection.run(statement)
