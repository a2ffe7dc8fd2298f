"""Connections that take several statements at once: PostgreSQL in one round trip, SQLite in one turn of its thread."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

from sqlalchemy import PoolProxiedConnection
from sqlalchemy.ext.asyncio import AsyncEngine

from api.database.drivers import Answered, Call, Discard, DriverConnection, Listener
from api.database.statements import Row

SQL = tuple[str, Sequence[Any]]
"""A statement with its values in their order."""


class Answer(Protocol):
    """What the database answered to a statement. Its rows can be read until the next one is run."""

    @property
    def row_count(self) -> int:
        """How many rows the statement changed or found."""
        ...

    def rows(self) -> Sequence[Row]: ...


class BatchingConnection(DriverConnection):
    """What is sent waits for the next statement, and goes to the database with it."""

    def __init__(
        self, engine: AsyncEngine, proxied: PoolProxiedConnection, discard: Discard, listeners: Sequence[Listener]
    ) -> None:
        super().__init__(engine, proxied, discard, listeners)
        self._waiting: list[SQL] = []

    @abstractmethod
    async def _run_batch(self, statements: Sequence[SQL]) -> Sequence[Answer]:
        """Run statements in their order. After one that fails, none is run.

        Raises:
            dbapi.Error: The database refused the statement after those that are `_answered`, or the connection is dead.
        """

    @property
    @abstractmethod
    def _answered(self) -> int:
        """How many of the statements of the last batch were answered without an error."""

    async def _send(self, sql: str, values: Sequence[Any]) -> None:
        if self.defers:
            self._waiting.append((sql, values))
        else:
            await self._answer(sql, values)

    async def _fetch(self, sql: str, values: Sequence[Any]) -> Sequence[Row]:
        return (await self._answer(sql, values)).rows()

    async def _execute(self, sql: str, values: Sequence[Any]) -> int:
        return (await self._answer(sql, values)).row_count

    async def together(self, *calls: Call) -> Sequence[Answered]:
        compiled = [statement.on(self.dialect) for statement, _ in calls]
        ready = [each.with_values(each.constants | values) for each, (_, values) in zip(compiled, calls, strict=True)]
        for sql, values in ready:
            self._tell(sql, values)
        self._waiting += ready[:-1]
        answers: Sequence[Answer] = await self._guarded(self._answers, *ready[-1])
        return [
            Answered(answer.row_count, each.converted(answer.rows()) if each.has_rows else ())
            for each, answer in zip(compiled, answers[-len(calls) :], strict=True)
        ]

    async def _answer(self, sql: str, values: Sequence[Any]) -> Answer:
        return (await self._answers(sql, values))[-1]

    async def _answers(self, sql: str, values: Sequence[Any]) -> Sequence[Answer]:
        """The answers to all that waited, and to a statement that is run after it."""
        waiting, self._waiting = self._waiting, []
        try:
            return await self._run_batch([*waiting, (sql, values)])
        except self.dialect.loaded_dbapi.Error:
            self.failed_earlier = self._answered < len(waiting)
            raise

    async def flush(self) -> None:
        if self._waiting:
            await self._guarded(self._execute, *self._waiting.pop())

    def forget(self) -> None:
        self._waiting.clear()
