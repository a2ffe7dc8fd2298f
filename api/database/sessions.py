"""The two kinds of session, and the one engine whose pool both use.

A read session is in autocommit: each statement sees what is committed, and no transaction is opened for it. A write
session is one transaction.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from threading import Thread
from typing import Any
from weakref import WeakSet

from sqlalchemy import AsyncAdaptedQueuePool, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database import auditing, schema  # noqa: F401 - which sees what the sessions change
from api.database.connections import LISTENERS, CheckedOut, check_out
from api.database.driver_internals import thread_of
from api.database.drivers import DriverConnection, Listener
from api.database.engine import IS_WRITING, begin_statements, create_engine, pool_size
from api.database.errors import DATABASE_ERRORS
from api.database.sqlalchemy_internals import ConnectingSession
from api.database.time_limits import TimeLimit
from api.database.trail import Origin
from api.database.transactions import Transaction
from api.database.write_slots import WriteSlot, WriteSlots, slots_for
from api.errors import Unavailable
from api.settings import Settings

SCHEMA_PATIENCE = 1
"""Seconds beyond the deadline that a refusal may wait for the reason."""

THREAD_TIMEOUT = 1
"""Seconds for the thread of a closed connection to end; its statement has been interrupted."""

SCHEMA_RETRY = 5
"""Seconds after which a client should try again where the tables are not those of this release."""


class Database:
    """One engine with its pool, and the sessions that use it."""

    def __init__(self, settings: Settings) -> None:
        self.engine = create_engine(settings)
        self._threads: WeakSet[Thread] = WeakSet()
        if self.backend == "sqlite":
            event.listen(
                self.engine.sync_engine, "connect", lambda made, _: self._threads.add(thread_of(made.driver_connection))
            )
        self.listeners: list[Listener] = [_log_statement(self.engine)] if settings.database_echo else []
        told: dict[Any, Any] = {LISTENERS: self.listeners}
        self.reads = async_sessionmaker(
            self.engine, class_=AsyncSession, expire_on_commit=False, autoflush=False, info=told
        )
        self.writes = async_sessionmaker(
            self.engine.execution_options(**{IS_WRITING: True}),
            class_=AsyncSession,
            sync_session_class=ConnectingSession,
            expire_on_commit=False,
            # An UPDATE or DELETE leaves loaded rows as they are: a route that answers one refreshes it.
            execution_options={"synchronize_session": False},
            info=told,
        )
        self._begin = begin_statements(settings)
        self._write_slots = WriteSlots(slots_for(self.backend, pool_size(settings)), settings.database_pool_timeout)

    @property
    def backend(self) -> str:
        """Its SQLAlchemy name: `sqlite`, `postgresql`, or `mysql` for MariaDB too."""
        return self.engine.dialect.name

    @property
    def pool(self) -> AsyncAdaptedQueuePool | None:
        """The pool, where connections are kept."""
        return self.engine.pool if isinstance(self.engine.pool, AsyncAdaptedQueuePool) else None

    @asynccontextmanager
    async def transaction(self, origin: Origin | None = None) -> AsyncIterator[AsyncSession]:
        """A write session, committed at the end. It waits for a write slot before its first statement.

        `origin` is who makes the changes, for the audit trail; otherwise they are those of the running command.

        Raises:
            sqlalchemy.exc.TimeoutError: No slot became free in time.
            Unavailable: The connection broke while the transaction was committed, so nobody knows whether it was. It
                must not be run again; an idempotency key tells.
        """
        slot = WriteSlot(self._write_slots)
        origin = origin or Origin.of_command()
        transaction = Transaction(self.engine, self.writes, slot, self._begin, self.listeners, origin)
        try:
            try:
                yield transaction.session
                await transaction.commit()
            except BaseException:
                with suppress(DBAPIError, TimeoutError):  # a connection that cannot even do this is thrown away
                    await transaction.roll_back()
                raise
        finally:
            await transaction.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[DriverConnection]:
        """The driver's own connection, in autocommit: for reads that are compiled once (`api/reads/`)."""
        taken = await self.check_out()
        try:
            yield taken.connection
        finally:
            await taken.give_back()

    async def check_out(self) -> CheckedOut:
        """The same for whoever gives it back."""
        return await check_out(self.engine, self.listeners)

    @property
    def write_slots(self) -> WriteSlots:
        """How many writes run and wait, for the metrics."""
        return self._write_slots

    def is_busy(self) -> bool:
        """Whether a write would have to wait for a slot."""
        return self._write_slots.are_taken()

    async def schema_difference(self) -> str | None:
        """How the tables differ from those of this release; `None` where they do not. Costs one statement."""
        async with self.connection() as connection:
            return await schema.difference(connection)

    async def schema_refusal(self) -> Unavailable | None:
        """The refusal of a request whose error is explained by tables of another release; `None` where it is not."""
        try:
            async with TimeLimit.of(SCHEMA_PATIENCE):
                difference = await self.schema_difference()
        except (*DATABASE_ERRORS, Unavailable, TimeoutError):
            return None
        return None if difference is None else Unavailable(difference, retry_after=SCHEMA_RETRY)

    async def close(self) -> None:
        """Close all connections. What the threads of SQLite tell an event loop that has ended would be an error."""
        await self.engine.dispose()
        for thread in list(self._threads):
            await asyncio.to_thread(thread.join, THREAD_TIMEOUT)


def _log_statement(engine: AsyncEngine) -> Listener:
    """Log what runs past SQLAlchemy as SQLAlchemy logs its own, and hide values where it hides them."""

    def log(sql: str, values: Sequence[Any]) -> None:
        shown = "[values hidden]" if engine.sync_engine.hide_parameters else values
        engine.sync_engine.logger.info("%s %s", sql, shown)

    return log
