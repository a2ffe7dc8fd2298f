"""The driver's own connection to PostgreSQL."""

from collections.abc import Sequence

from sqlalchemy import PoolProxiedConnection
from sqlalchemy.ext.asyncio import AsyncEngine

from api.database.batches import SQL
from api.database.driver_internals import keep_prepared
from api.database.drivers import Discard, DriverConnection, Listener
from api.database.libpq import Libpq, LibpqAnswer

LIBPQ = "libpq"
"""The key in a connection's `info` of what it keeps for as long as it lives."""


class PostgreSQLConnection(DriverConnection):
    def __init__(
        self, engine: AsyncEngine, proxied: PoolProxiedConnection, discard: Discard, listeners: Sequence[Listener]
    ) -> None:
        super().__init__(engine, proxied, discard, listeners)
        if LIBPQ not in proxied.info:
            keep_prepared(self._driver)
            proxied.info[LIBPQ] = Libpq(self._driver)
        self._libpq: Libpq = proxied.info[LIBPQ]

    async def _run_batch(self, statements: Sequence[SQL]) -> Sequence[LibpqAnswer]:
        try:
            return await self._libpq.run(statements)
        finally:
            self._answered = self._libpq.answered

    async def commit(self) -> None:
        """PostgreSQL answers the COMMIT of a failed transaction with a rollback, and without an error."""
        answers: Sequence[LibpqAnswer] = await self._run(self._answers, "COMMIT", ())
        if answers[-1].command != b"COMMIT":
            raise RuntimeError("A statement of the transaction failed, and the code went on: nothing was committed.")
