"""One write transaction: a connection, a slot, and the session on it.

The first statement takes the slot and the connection, and begins the transaction, whether it comes from the session or
goes straight to the driver. Both use the one connection, and end together.
"""

import asyncio
from collections.abc import Sequence

from sqlalchemy import Connection, PoolProxiedConnection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlalchemy.util import greenlet_spawn
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.connections import OPEN_DRIVER, connected, give_back, take_from_pool, throw_away, write_pending
from api.database.drivers import DriverConnection, Listener
from api.database.engine import is_in_transaction
from api.database.errors import was_refused_before_commit
from api.database.outbox import OUTBOX, Outbox
from api.database.sqlalchemy_internals import CONNECT, connection_on
from api.database.time_limits import TimeLimit
from api.database.trail import TRAIL, Origin, Trail
from api.database.write_slots import WriteSlot
from api.errors import Unavailable
from api.telemetry.metrics import metrics

COMMIT_TIMEOUT = 8
"""Seconds for what is written last and for the answer to the COMMIT, which no deadline ends: on a connection that a
firewall forgot, none comes, ever."""

ROLLBACK_TIMEOUT = 2
"""Seconds, likewise; nobody has to know how it ended."""

ROWS_AT_A_TIME = 101
"""Entries of the audit trail, or events, in one statement: those of the longest order, with its hundred lines."""

NOT_CONFIRMED = "The database did not confirm the change. Look whether it was made, or try again."

TRANSACTION = "transaction"
"""The key in a session's `info` of its transaction."""


async def undo(session: AsyncSession) -> None:
    """Undo everything in the transaction of a session. What comes next begins anew, and is committed at the end.

    `session.rollback()` would not know of what was sent to the driver.
    """
    transaction: Transaction = session.info[TRANSACTION]
    await transaction.roll_back()


class Transaction:
    """What happens on one connection until it is committed or rolled back."""

    def __init__(
        self,
        engine: AsyncEngine,
        sessions: async_sessionmaker[AsyncSession],
        slot: WriteSlot,
        begin: Sequence[str],
        listeners: Sequence[Listener],
        origin: Origin,
    ) -> None:
        self._engine = engine
        self._slot = slot
        self._begin = begin
        self._listeners = listeners
        self._proxied: PoolProxiedConnection | None = None
        self._driver: DriverConnection | None = None
        self._connection: Connection | None = None
        self._has_begun = False
        self._trail, self._outbox = Trail(origin), Outbox()
        info = {TRANSACTION: self, OPEN_DRIVER: self._open, CONNECT: self._connect}
        self.session = sessions(info=info | {TRAIL: self._trail, OUTBOX: self._outbox})

    async def _open(self) -> DriverConnection:
        """The connection, on which the transaction has begun.

        Raises:
            sqlalchemy.exc.TimeoutError: No slot or no connection became free in time.
        """
        if self._proxied is None or self._driver is None:
            await self._slot.take()
            self._proxied = await take_from_pool(self._engine)
            self._driver = connected(self._engine, self._proxied, self._discard, self._listeners)
            self._driver.defers = True
            self._driver.trail = self._trail
        if not self._proxied.is_valid:
            raise RuntimeError("The connection of this transaction was thrown away.")
        if not self._has_begun:
            for statement in self._begin:
                await self._driver.send_sql(statement)
            self._has_begun = True
        return self._driver

    async def _connect(self) -> Connection:
        """The same connection, for the session."""
        await (await self._open()).flush()
        if self._connection is None and self._proxied is not None:
            self._connection = connection_on(self._engine.sync_engine, self._proxied)
        if self._connection is None:
            raise RuntimeError("The transaction has no connection.")
        return self._connection

    async def _discard(self, error: BaseException, *, was_silent: bool) -> None:
        if self._proxied is not None:
            await throw_away(self._engine, self._proxied, error, was_silent=was_silent)
        if self._connection is not None:
            await greenlet_spawn(self._connection.invalidate, error)

    async def commit(self) -> None:
        """Commit what the session and the driver did.

        Raises:
            Unavailable: The connection broke meanwhile, so nobody knows whether it was committed. It must not be run
                again; an idempotency key tells.
        """
        ends = asyncio.get_running_loop().time() + COMMIT_TIMEOUT
        async with TimeLimit(ends):  # an error of these is no error of the COMMIT
            await write_pending(self.session)
            await self._write_waiting()
            if self._driver is not None and (self.session.in_transaction() or not self._driver.has_run):
                await self._driver.flush()
        try:
            async with TimeLimit(ends):
                await self._end()
        except DBAPIError as error:
            if not error.connection_invalidated or was_refused_before_commit(error):
                raise
            raise Unavailable(NOT_CONFIRMED) from error
        except TimeoutError as error:
            raise Unavailable(NOT_CONFIRMED) from error
        self._has_begun = False
        if self._outbox.written:
            metrics.committed(self._outbox.written)
            self._outbox.written.clear()

    async def _write_waiting(self) -> None:
        """The entries and events go to the database together with the COMMIT."""
        for waiting in (self._trail, self._outbox):
            while rows := waiting.take(ROWS_AT_A_TIME):
                statement, values = waiting.insertion(rows)
                await (await self._open()).send(statement, **values)

    async def _end(self) -> None:
        is_open = self._has_begun
        if self.session.in_transaction():
            await self.session.commit()  # of the same transaction, where the session has had a statement
            is_open = self._is_open()
        if self._driver is not None and is_open:
            await self._driver.commit()

    async def roll_back(self) -> None:
        """Undo everything; another statement would begin anew.

        Raises:
            TimeoutError: The server does not answer; it rolls back when it finds the connection closed.
        """
        self._trail.forget()
        self._outbox.forget()
        async with TimeLimit.of(ROLLBACK_TIMEOUT):
            await self.session.rollback()
            if self._driver is not None:
                self._driver.forget()
                if self._is_open():
                    await self._driver.run("ROLLBACK")
        self._has_begun = False

    def _is_open(self) -> bool:
        if self._proxied is None or not self._proxied.is_valid:
            return False
        return is_in_transaction(self._engine.dialect, self._proxied.driver_connection)

    async def close(self) -> None:
        """Give back the connection and the slot; what was not committed is undone."""
        try:
            if self.session.in_transaction():
                await self.session.close()
            else:
                self.session.sync_session.close()  # which waits for nothing
        finally:
            try:
                if self._proxied is not None:
                    await give_back(self._engine, self._proxied)
            finally:
                self._slot.release()
