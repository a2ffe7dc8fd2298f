"""The driver's own connection to PostgreSQL."""

from collections.abc import Sequence
from typing import Any

from psycopg import Error
from sqlalchemy import PoolProxiedConnection
from sqlalchemy.ext.asyncio import AsyncEngine

from api.database.driver_internals import keep_prepared
from api.database.drivers import Answered, Call, Discard, DriverConnection, Listener
from api.database.libpq import SQL, Answer, Libpq
from api.database.statements import Row

LIBPQ = "libpq"
"""The key in a connection's `info` of what it keeps for as long as it lives."""


class PostgreSQLConnection(DriverConnection):
    """What is sent waits for the next statement, and goes to the server with it."""

    def __init__(
        self, engine: AsyncEngine, proxied: PoolProxiedConnection, discard: Discard, listeners: Sequence[Listener]
    ) -> None:
        super().__init__(engine, proxied, discard, listeners)
        if LIBPQ not in proxied.info:
            keep_prepared(self._driver)
            proxied.info[LIBPQ] = Libpq(self._driver)
        self._libpq: Libpq = proxied.info[LIBPQ]
        self._waiting: list[SQL] = []

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
        answers: list[Answer] = await self._guarded(self._answers, *ready[-1])
        return [
            Answered(answer.row_count, each.converted(answer.rows()) if each.has_rows else ())
            for each, answer in zip(compiled, answers[-len(calls) :], strict=True)
        ]

    async def _answer(self, sql: str, values: Sequence[Any]) -> Answer:
        return (await self._answers(sql, values))[-1]

    async def _answers(self, sql: str, values: Sequence[Any]) -> list[Answer]:
        """The answers to all that waited, and to a statement that is run after it."""
        waiting, self._waiting = self._waiting, []
        try:
            return await self._libpq.run([*waiting, (sql, values)])
        except Error:
            self.failed_earlier = self._libpq.answered < len(waiting)
            raise

    async def flush(self) -> None:
        if self._waiting:
            await self._guarded(self._execute, *self._waiting.pop())

    async def commit(self) -> None:
        """PostgreSQL answers the COMMIT of a failed transaction with a rollback, and without an error."""
        answer = await self._run(self._answer, "COMMIT", ())
        if answer.command != b"COMMIT":
            raise RuntimeError("A statement of the transaction failed, and the code went on: nothing was committed.")

    def forget(self) -> None:
        self._waiting.clear()
