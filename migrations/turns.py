"""One migration at a time, whoever starts it; on SQLite, BEGIN IMMEDIATE sees to it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

MAX_WAIT = 600
"""Seconds to wait for a migration that is running."""

POLL = 0.2
"""Seconds between two looks at whether it still is."""

IS_TAKEN = f"Another migration has been running for {MAX_WAIT} seconds."


@asynccontextmanager
async def turn_on_postgresql(engine: AsyncEngine) -> AsyncIterator[None]:
    """Hold a lock in a transaction beside the migrations, which may commit several times.

    Waiting within a statement would keep a snapshot, for which the CREATE INDEX CONCURRENTLY of whoever has the lock
    would wait. The lock is of a transaction and not of a session, so it works behind PgBouncer too.
    """
    if engine.dialect.name != "postgresql":
        yield
        return
    deadline = time.monotonic() + MAX_WAIT
    async with engine.connect() as connection:
        while True:
            await connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")  # or it keeps a snapshot
            await connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
            taken = await connection.exec_driver_sql("SELECT pg_try_advisory_xact_lock(hashtext('migrations'))")
            if taken.scalar_one():
                break
            if time.monotonic() > deadline:
                raise TimeoutError(IS_TAKEN)
            await connection.rollback()
            await asyncio.sleep(POLL)
        yield


def wait_for_turn_on_mysql(connection: Connection) -> None:
    """Take a lock that ends with the connection; its name counts for the whole server."""
    lock = f"SELECT GET_LOCK(CONCAT('migrations.', MD5(DATABASE())), {MAX_WAIT})"
    if connection.exec_driver_sql(lock).scalar() != 1:
        raise TimeoutError(IS_TAKEN)
