"""The driver's own connection to SQLite, whose thread has one turn for a batch: it costs as much as some statements."""

from collections.abc import Sequence
from functools import partial
from sqlite3 import Connection

from api.database.batches import SQL, Answer, Answered
from api.database.driver_internals import run_in_thread
from api.database.drivers import DriverConnection


class SQLiteConnection(DriverConnection):
    async def _run_batch(self, statements: Sequence[SQL]) -> Sequence[Answer]:
        """A batch that is cancelled has none left to run: an interrupt that comes between two would be lost."""
        left, answers = list(reversed(statements)), list[Answer]()
        try:
            await run_in_thread(self._driver, partial(_run, left, answers))
        finally:
            left.clear()
            self._answered = len(answers)
        return answers


def _run(left: list[SQL], answers: list[Answer], connection: Connection) -> None:
    while left:
        sql, values = left.pop()
        cursor = connection.execute(sql, values)
        rows = cursor.fetchall() if cursor.description else ()
        answers.append(Answered(len(rows) if cursor.description else cursor.rowcount, rows))
