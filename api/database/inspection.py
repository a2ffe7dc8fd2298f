"""What is worth a line in the log when a process starts: nothing of it prevents the start."""

from collections.abc import Sequence
from datetime import timedelta

from sqlmodel import SQLModel, col, select, text

from api.database import schema
from api.database.drivers import DriverConnection
from api.database.engine import pool_size
from api.database.sessions import Database
from api.database.statements import Statement
from api.models.base import utcnow
from api.models.event import Event
from api.models.searchable import Searchable
from api.settings import Settings

SELECT_LIMITS = {
    "postgresql": Statement(
        text("""
        SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
                - coalesce(current_setting('reserved_connections', true), '0')::int,
            (SELECT rolconnlimit FROM pg_roles WHERE rolname = session_user),
            (SELECT datconnlimit FROM pg_database WHERE datname = current_database())
        """)
    ),
    "mysql": Statement(text("SELECT @@max_connections, @@max_user_connections")),
}
"""The connections that the server, the role and the database allow; -1 and MySQL's 0 mean no limit."""

SELECT_ENGINES = Statement(
    text(
        "SELECT table_name, engine FROM information_schema.tables "
        "WHERE table_schema = DATABASE() AND engine <> 'InnoDB'"
    )
)

SELECT_SEARCH_INDEXES = Statement(
    text(
        "SELECT c.relname FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid "
        "WHERE i.indisvalid AND pg_table_is_visible(c.oid) AND right(c.relname, 12) = '_search_text'"
    )
)

HOW_TO_INDEX = "Run CREATE EXTENSION pg_trgm, and then what `alembic upgrade 1f6b02c9ae57:9c41d0a7f2be --sql` prints."
"""Where the extension was missing when the database was migrated."""


SELECT_WAITING = Statement(
    select(col(Event.timestamp)).where(col(Event.position).is_(None)).order_by(col(Event.id)).limit(1)
)

WORKER_PATIENCE = timedelta(minutes=10)
"""After which an event that has no place in the feed is a sign that no worker runs."""


async def inspect(database: Database, settings: Settings) -> list[str]:
    """What whoever runs the shop should know of its database, in sentences.

    Raises:
        sqlalchemy.exc.DBAPIError: The database does not answer.
        Unavailable: The shop cannot work with it.
    """
    async with database.connection() as connection:
        difference = await schema.difference(connection)
        found = [
            difference,
            await _too_many_connections(connection, settings),
            await _foreign_engines(connection),
            None if difference else await _missing_search_index(connection),
            None if difference else await _missing_worker(connection),
        ]
    return [each for each in found if each is not None]


async def _too_many_connections(connection: DriverConnection, settings: Settings) -> str | None:
    select, size = SELECT_LIMITS.get(connection.dialect.name), pool_size(settings)
    if select is None or size is None:
        return None
    (limits,) = await connection.fetch(select)
    allowed, wanted = _lowest(limits), size * settings.web_concurrency
    if wanted <= allowed:
        return None
    return (
        f"{settings.web_concurrency} processes (WEB_CONCURRENCY) with {size} connections each (DATABASE_POOL_SIZE) may "
        f"open {wanted}, and the database allows {allowed}: requests beyond that wait, and are answered with 503."
    )


def _lowest(limits: Sequence[int]) -> int:
    first, *others = limits
    return min([first, *(each for each in others if each > 0)])


async def _foreign_engines(connection: DriverConnection) -> str | None:
    """Tables of ours whose engine has no transactions, as of a release that did not choose it itself."""
    if connection.dialect.name != "mysql":
        return None
    names = [name for name, _ in await connection.fetch(SELECT_ENGINES) if name in SQLModel.metadata.tables]
    if not names:
        return None
    return (
        f"These tables have no transactions: {', '.join(sorted(names))}. ALTER TABLE … ENGINE = InnoDB gives them some."
    )


async def _missing_search_index(connection: DriverConnection) -> str | None:
    if connection.dialect.name != "postgresql":
        return None
    found = {name for (name,) in await connection.fetch(SELECT_SEARCH_INDEXES)}
    if found >= {f"ix_{model.__tablename__}_search_text" for model in Searchable.__subclasses__()}:
        return None
    return f"A search reads the whole table: the extension pg_trgm is missing. {HOW_TO_INDEX}"


async def _missing_worker(connection: DriverConnection) -> str | None:
    rows = await connection.fetch(SELECT_WAITING)
    if not rows or (waiting := utcnow() - rows[0][0]) < WORKER_PATIENCE:
        return None
    return (
        f"An event has been waiting for the worker for {waiting // timedelta(minutes=1)} minutes: "
        "see that `python -m api worker` runs."
    )
