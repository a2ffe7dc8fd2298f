"""The driver's own connection to MySQL and MariaDB."""

from collections.abc import Sequence
from typing import Any

from api.database.drivers import DriverConnection
from api.database.statements import Row


class MySQLConnection(DriverConnection):
    async def _fetch(self, sql: str, values: Sequence[Any]) -> Sequence[Row]:
        async with self._driver.cursor() as cursor:
            await cursor.execute(sql, values)
            rows: Sequence[Row] = await cursor.fetchall()
            return rows

    async def _execute(self, sql: str, values: Sequence[Any]) -> int:
        async with self._driver.cursor() as cursor:
            return int(await cursor.execute(sql, values))
