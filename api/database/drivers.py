"""The drivers' own connections, alike on each database: what costs a session 300 µs of CPU costs 80 there.

Errors are those that a session raises, so retries and refusals know them.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Dialect, PoolProxiedConnection
from sqlalchemy.engine.interfaces import DBAPIModule
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import text

from api.database.errors import ends_session
from api.database.statements import CompiledStatement, Insertion, Recorder, Row, Statement, numbered_values

LAST_INSERT_ID = Statement(text("SELECT LAST_INSERT_ID()"))
"""For MySQL, which has no INSERT … RETURNING."""

Call = tuple[Statement, dict[str, Any]]
"""A statement with its values."""

Run = Callable[[str, Sequence[Any]], Awaitable[Any]]
Listener = Callable[[str, Sequence[Any]], None]
"""Is told of each statement and its values before it is run."""

LONGEST_SILENCE = 4.0
"""Seconds without an answer after which a statement that is given up speaks against all connections of its age: it
waits for no row as long as that, and a network that swallows what one of them sends mostly does so with all."""


class Answered(NamedTuple):
    """What came of a statement: how many rows it changed or found, and those that it found."""

    row_count: int
    rows: Sequence[Row]


class Discard(Protocol):
    """Throws a connection away; where the database ended it, or was silent, all that are as old are replaced too."""

    async def __call__(self, error: BaseException, *, was_silent: bool) -> None: ...


class DriverConnection(ABC):
    """A connection of one driver."""

    def __init__(
        self, engine: AsyncEngine, proxied: PoolProxiedConnection, discard: Discard, listeners: Sequence[Listener]
    ) -> None:
        self._engine = engine
        self._driver: Any = proxied.driver_connection
        self._discard = discard
        self._listeners = listeners
        self.has_run = False
        """Whether a statement has been answered, so that the connection was alive in this transaction."""
        self.failed_earlier = False
        """Whether the last error is of a statement that was sent before the one that raised it."""
        self.defers = False
        """Whether `send` may wait for the next statement: whoever sets this sees to it that nothing is left behind."""
        self.trail: Recorder | None = None  # none in autocommit

    @property
    def dialect(self) -> Dialect:
        return self._engine.dialect

    async def fetch(self, statement: Statement, **values: Any) -> Sequence[Row]:
        """Run a statement, and return its rows with the Python values of their columns."""
        compiled = statement.on(self.dialect)
        return compiled.converted(await self.fetch_compiled(compiled, compiled.constants | values))

    async def fetch_compiled(self, compiled: CompiledStatement, values: dict[str, Any]) -> Sequence[Row]:
        """Run a statement, and return its rows as the driver gives them.

        Raises:
            sqlalchemy.exc.DBAPIError: The database refused it, or the connection is dead.
        """
        sql, ordered = compiled.with_values(values)
        rows: Sequence[Row] = await self._run(self._fetch, sql, ordered)
        return rows

    async def execute(self, statement: Statement, **values: Any) -> int:
        """Run a statement, and return how many rows it changed.

        Raises:
            sqlalchemy.exc.DBAPIError: The database refused it, or the connection is dead.
        """
        return int(await self._run(self._execute, *self._with_values(statement, values)))

    async def together(self, *calls: Call) -> Sequence[Answered]:
        """Run statements one after the other, which PostgreSQL and SQLite take in one go. All are run, whatever each changes.

        Raises:
            sqlalchemy.exc.DBAPIError: The database refused one, or the connection is dead.
        """
        answered = []
        for statement, values in calls:
            if statement.on(self.dialect).has_rows:
                rows = await self.fetch(statement, **values)
                answered.append(Answered(len(rows), rows))
            else:
                answered.append(Answered(await self.execute(statement, **values), ()))
        return answered

    async def send(self, statement: Statement, **values: Any) -> None:
        """Run a statement whose result is not needed, with the next statement at the latest.

        PostgreSQL and SQLite take both in one go. An error may come with the next statement, which then was not run.
        """
        await self._run(self._send, *self._with_values(statement, values))

    async def send_sql(self, sql: str) -> None:
        """The same for SQL without parameters, such as `BEGIN`."""
        await self._run(self._send, sql, ())

    async def run(self, sql: str) -> None:
        """Run SQL without parameters and without rows, such as `COMMIT`, after all that was sent."""
        await self._run(self._execute, sql, ())

    async def commit(self) -> None:
        """Commit, after all that was sent."""
        await self.run("COMMIT")

    async def flush(self) -> None:
        """Run what was sent and is not run yet."""
        return

    def forget(self) -> None:
        """Drop what was sent and is not run yet."""
        return

    async def insert(self, insertion: Insertion, *, row_id: int | None = None, **row: Any) -> int:
        """Insert one row, all of whose values are given, record it, and return its id.

        A row that has its id already is inserted as `send` does.
        """
        if row_id is not None:
            await self.send(insertion.numbered.recorded, id=row_id, **row)
        elif self.dialect.insert_returning:
            ((row_id,),) = await self.fetch(insertion.recorded_returning_id, **row)
        else:
            await self.execute(insertion.recorded, **row)
            ((row_id,),) = await self.fetch(LAST_INSERT_ID)
        insertion.record(self.trail, row_id, row)
        return int(row_id)

    async def insert_many(self, insertion: Insertion, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert several rows in one statement, as `send` does."""
        values = [insertion.values(**row) for row in rows]
        await self.send(insertion.many(len(rows)), **numbered_values(values))

    def _with_values(self, statement: Statement, values: dict[str, Any]) -> tuple[str, Sequence[Any]]:
        compiled = statement.on(self.dialect)
        return compiled.with_values(compiled.constants | values)

    async def _run(self, run: Run, sql: str, values: Sequence[Any]) -> Any:
        self._tell(sql, values)
        return await self._guarded(run, sql, values)

    def _tell(self, sql: str, values: Sequence[Any]) -> None:
        for listener in self._listeners:
            listener(sql, values)

    async def _guarded(self, run: Run, sql: str, values: Sequence[Any]) -> Any:
        """Run something, and raise its errors as a session does."""
        began = time.monotonic()
        try:
            result = await run(sql, values)
        except self.dialect.loaded_dbapi.Error as error:
            raise await self._as_a_session_raises_it(error, sql, values) from error
        except BaseException as error:  # cancelled: an answer may still be under way on this connection
            await self._discard(error, was_silent=time.monotonic() - began > LONGEST_SILENCE)
            raise
        self.has_run = self.has_run or run != self._send
        return result

    async def _as_a_session_raises_it(self, error: DBAPIModule.Error, sql: str, values: Sequence[Any]) -> BaseException:
        is_dead = self.dialect.is_disconnect(error, self._driver, None) or ends_session(error)
        if is_dead:
            await self._discard(error, was_silent=False)
        return as_session_error(self._engine, error, sql, values, is_dead=is_dead)

    async def _send(self, sql: str, values: Sequence[Any]) -> None:
        await self._execute(sql, values)

    @abstractmethod
    async def _fetch(self, sql: str, values: Sequence[Any]) -> Sequence[Row]: ...

    @abstractmethod
    async def _execute(self, sql: str, values: Sequence[Any]) -> int: ...


def as_session_error(
    engine: AsyncEngine, error: BaseException, sql: str | None, values: Any, *, is_dead: bool
) -> BaseException:
    """A driver's error as a session would raise it."""
    raised: BaseException = DBAPIError.instance(
        sql,
        values,
        error,
        engine.dialect.loaded_dbapi.Error,
        hide_parameters=engine.sync_engine.hide_parameters,
        connection_invalidated=is_dead,
        dialect=engine.dialect,
    )
    return raised
