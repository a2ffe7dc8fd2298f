"""The drivers' own connections, alike on each database: what costs a session 300 µs of CPU costs 80 there.

Errors are those that a session raises, so retries and refusals know them.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import Dialect, PoolProxiedConnection
from sqlalchemy.engine.interfaces import DBAPIModule
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from api.database.batches import SQL, Answer, Answered, Call
from api.database.errors import ends_session
from api.database.statements import (
    LAST_INSERT_ID,
    CompiledStatement,
    Insertion,
    Recorder,
    Row,
    Statement,
    numbered_values,
)

Run = Callable[[str, Sequence[Any]], Awaitable[Any]]
Listener = Callable[[str, Sequence[Any]], None]
"""Is told of each statement and its values before it is run."""

LONGEST_SILENCE = 4.0
"""Seconds without an answer after which a statement that is given up speaks against all connections of its age: it
waits for no row as long as that, and a network that swallows what one of them sends mostly does so with all."""


class Discard(Protocol):
    """Throws a connection away; where the database ended it, or was silent, all that are as old are replaced too."""

    async def __call__(self, error: BaseException, *, was_silent: bool) -> None: ...


class DriverConnection(ABC):
    """A connection of one driver. What is sent waits for the next statement, and goes to the database with it."""

    def __init__(
        self, engine: AsyncEngine, proxied: PoolProxiedConnection, discard: Discard, listeners: Sequence[Listener]
    ) -> None:
        self._engine = engine
        self.dialect: Dialect = engine.dialect  # kept, because a statement asks several times
        self._driver: Any = proxied.driver_connection
        self._discard = discard
        self._listeners = listeners
        self.has_run = False
        """Whether a statement has been answered, so that the connection was alive in this transaction."""
        self.failed_earlier = False
        """Whether the last error is of a statement that was sent before the one that raised it: what was sent meanwhile
        is lost then, and the transaction has to be rolled back."""
        self.defers = False
        """Whether `send` may wait for the next statement: whoever sets this sees to it that nothing is left behind."""
        self.trail: Recorder | None = None  # none in autocommit
        self._waiting: list[SQL] = []
        self._answered = 0
        """How many of the statements of the last batch were answered without an error."""
        self._heard_at = 0.0
        """When the last answer came, on the clock that never goes back."""

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
        """Run statements one after the other, in one go. All are run, whatever each changes.

        Raises:
            sqlalchemy.exc.DBAPIError: The database refused one, or the connection is dead.
        """
        compiled = [statement.on(self.dialect) for statement, _ in calls]
        ready = [each.with_values(each.constants | values) for each, (_, values) in zip(compiled, calls, strict=True)]
        for sql, values in ready:
            self._tell(sql, values)
        self._waiting += ready[:-1]
        answers: Sequence[Answer] = await self._guarded(self._answers, *ready[-1])
        return [
            Answered(answer.row_count, each.converted(answer.fetched()) if each.has_rows else ())
            for each, answer in zip(compiled, answers[-len(calls) :], strict=True)
        ]

    async def send(self, statement: Statement, **values: Any) -> None:
        """Run a statement whose result is not needed, with the next statement at the latest.

        The database takes both in one go. An error may come with the next statement, which then was not run.
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
        self._refuse_to_go_on()
        if self._waiting:
            await self._guarded(self._execute, *self._waiting.pop())

    def forget(self) -> None:
        """Drop what was sent and is not run yet."""
        self._waiting.clear()
        self.failed_earlier = False

    async def insert(self, insertion: Insertion, *, row_id: int | None = None, **row: Any) -> int:
        """Insert one row, all of whose values are given, record it, and return its id.

        A row that has its id already is inserted as `send` does.
        """
        if row_id is not None:
            await self.send(insertion.numbered.recorded, id=row_id, **row)
        elif self.dialect.insert_returning:
            ((row_id,),) = await self.fetch(insertion.recorded_returning_id, **row)
        else:
            _, last = await self.together((insertion.recorded, row), (LAST_INSERT_ID, {}))
            ((row_id,),) = last.rows
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
            silence = time.monotonic() - max(began, self._heard_at)
            await self._discard(error, was_silent=silence > LONGEST_SILENCE)
            raise
        self.has_run = self.has_run or run != self._send
        return result

    async def _as_a_session_raises_it(self, error: DBAPIModule.Error, sql: str, values: Sequence[Any]) -> BaseException:
        is_dead = self.dialect.is_disconnect(error, self._driver, None) or ends_session(error)
        if is_dead:
            await self._discard(error, was_silent=False)
        return as_session_error(self._engine, error, sql, values, is_dead=is_dead)

    async def _send(self, sql: str, values: Sequence[Any]) -> None:
        if self.defers:
            self._waiting.append((sql, values))
        else:
            await self._answers(sql, values)

    async def _fetch(self, sql: str, values: Sequence[Any]) -> Sequence[Row]:
        return (await self._answers(sql, values))[-1].fetched()

    async def _execute(self, sql: str, values: Sequence[Any]) -> int:
        return (await self._answers(sql, values))[-1].row_count

    async def _answers(self, sql: str, values: Sequence[Any]) -> Sequence[Answer]:
        """The answers to all that waited, and to a statement that is run after it."""
        self._refuse_to_go_on()
        waiting, self._waiting = self._waiting, []
        try:
            return await self._run_batch([*waiting, (sql, values)])
        except self.dialect.loaded_dbapi.Error:
            self.failed_earlier = self._answered < len(waiting)
            raise

    def _refuse_to_go_on(self) -> None:
        """
        Raises:
            RuntimeError: A statement that was sent has failed, and the code went on: a part would be committed.
        """
        if self.failed_earlier:
            raise RuntimeError("A statement that was sent has failed: roll the transaction back.")

    @abstractmethod
    async def _run_batch(self, statements: Sequence[SQL]) -> Sequence[Answer]:
        """Run statements in their order, and count those that are `_answered`. After one that fails, none is run."""


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
