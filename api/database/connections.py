"""How a connection of the pool is taken, given back and thrown away, and the driver's connection of a session.

A connection that turns out dead is thrown away, and with it all that are as old, because what ended one has mostly
ended all; the work is then run again on a fresh one (`api/web/transactions.py`). That is cheaper than asking each
connection before each use whether it still answers, and it finds what such a question does not.
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple

from sqlalchemy import AsyncAdaptedQueuePool, PoolProxiedConnection
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import greenlet_spawn
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.drivers import (
    Discard,
    DriverConnection,
    Listener,
    as_session_error,
)
from api.database.engine import is_in_transaction
from api.database.mysql import MySQLConnection
from api.database.postgresql import PostgreSQLConnection
from api.database.sqlalchemy_internals import has_ready, invalidate_pool
from api.database.sqlite import SQLiteConnection
from api.database.trail import trail_of

OPEN_DRIVER, LISTENERS = "open_driver", "listeners"
"""The keys in a session's `info` of what opens its driver's connection, and of who is told of statements."""

KINDS: dict[str, type[DriverConnection]] = {
    "postgresql": PostgreSQLConnection,
    "sqlite": SQLiteConnection,
    "mysql": MySQLConnection,
}


async def take_from_pool(engine: AsyncEngine) -> PoolProxiedConnection:
    """A connection of the pool. One that is ready is taken without a greenlet, which costs a third of a statement.

    Raises:
        sqlalchemy.exc.TimeoutError: None became free in time.
        sqlalchemy.exc.DBAPIError: No connection could be opened.
    """
    pool = engine.sync_engine.pool
    if isinstance(pool, AsyncAdaptedQueuePool) and has_ready(pool):
        return pool.connect()
    try:
        return await engine.raw_connection()
    except engine.dialect.loaded_dbapi.Error as error:
        raise as_session_error(engine, error, None, (), is_dead=False) from error


async def give_back(engine: AsyncEngine, proxied: PoolProxiedConnection) -> None:
    """Give a connection back to the pool; a transaction that is open on it is rolled back."""
    is_kept = isinstance(engine.sync_engine.pool, AsyncAdaptedQueuePool) and proxied.is_valid
    if is_kept and not is_in_transaction(engine.dialect, proxied.driver_connection):
        proxied.close()  # which waits for nothing
    else:
        await greenlet_spawn(proxied.close)


async def throw_away(
    engine: AsyncEngine, proxied: PoolProxiedConnection, error: BaseException, *, was_silent: bool
) -> None:
    """Close a connection; where the database ended it, or was silent, all that are as old are replaced too."""
    if not proxied.is_valid:
        return
    if was_silent or isinstance(error, engine.dialect.loaded_dbapi.Error):
        invalidate_pool(engine.sync_engine.pool, proxied, error)
    await greenlet_spawn(proxied.invalidate, error)


class CheckedOut(NamedTuple):
    """A connection out of the pool, in autocommit, and how it is given back."""

    connection: DriverConnection
    give_back: Callable[[], Awaitable[None]]


async def check_out(engine: AsyncEngine, listeners: Sequence[Listener]) -> CheckedOut:
    """Take a connection out of the pool; raises what `take_from_pool` does."""
    proxied = await take_from_pool(engine)
    discard = partial(throw_away, engine, proxied)
    return CheckedOut(connected(engine, proxied, discard, listeners), partial(give_back, engine, proxied))


def connected(
    engine: AsyncEngine, proxied: PoolProxiedConnection, discard: Discard, listeners: Sequence[Listener]
) -> DriverConnection:
    """The driver's connection in one that was taken from the pool."""
    return KINDS[engine.dialect.name](engine, proxied, discard, listeners)


async def write_pending(session: AsyncSession) -> None:
    """Flush a session, but not where nothing is pending: that would cost as much as half of a statement."""
    if session.new or session.dirty or session.deleted:
        await session.flush()


async def driver_of(session: AsyncSession) -> DriverConnection:
    """The driver's own connection of a session, within the session's transaction.

    What the session has pending is written first. Rows that the session has loaded stay as they were.
    """
    await write_pending(session)
    if open_driver := session.info.get(OPEN_DRIVER):
        driver: DriverConnection = await open_driver()
        driver.defers = not session.in_nested_transaction()  # whose end would not wait for what was sent
        if not driver.defers:
            await session.connection()  # begins the savepoint
        return driver
    connection = await session.connection()
    proxied = await connection.get_raw_connection()

    async def discard(error: BaseException, *, was_silent: bool) -> None:
        await throw_away(connection.engine, proxied, error, was_silent=was_silent)
        await connection.invalidate(error)

    driver = connected(connection.engine, proxied, discard, session.info.get(LISTENERS, ()))
    driver.trail = trail_of(session)
    return driver
