"""The driver's own connection to SQLite, whose statements a thread runs: each turn costs as much as several of them."""

from collections.abc import Sequence
from functools import partial
from sqlite3 import Connection
from typing import NamedTuple

from api.database.batches import SQL, BatchingConnection
from api.database.driver_internals import run_in_thread
from api.database.statements import Row


class SQLiteAnswer(NamedTuple):
    row_count: int
    found: Sequence[Row]

    def rows(self) -> Sequence[Row]:
        return self.found


class SQLiteConnection(BatchingConnection):
    _answered = 0

    async def _run_batch(self, statements: Sequence[SQL]) -> Sequence[SQLiteAnswer]:
        answers: list[SQLiteAnswer] = []
        try:
            await run_in_thread(self._driver, partial(_run, statements, answers))
        finally:
            self._answered = len(answers)
        return answers


def _run(statements: Sequence[SQL], answers: list[SQLiteAnswer], connection: Connection) -> None:
    for sql, values in statements:
        cursor = connection.execute(sql, values)
        found = cursor.fetchall() if cursor.description else ()
        answers.append(SQLiteAnswer(len(found) if cursor.description else cursor.rowcount, found))
