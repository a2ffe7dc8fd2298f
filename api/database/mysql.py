"""The driver's own connection to MySQL and MariaDB, which take several statements in one packet.

Source: "Multi-Statement" in the manual of MySQL's client/server protocol. The driver asks for it at each connection.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from api.database.batches import SQL, Answer, FetchedAnswer
from api.database.drivers import DriverConnection

MAX_BATCH = 200_000
"""Characters of one batch, unless a single statement has more: no server takes packets of less than a megabyte."""


class MySQLConnection(DriverConnection):
    async def _run_batch(self, statements: Sequence[SQL]) -> Sequence[Answer]:
        answers: list[Answer] = []
        try:
            async with self._driver.cursor() as cursor:
                for batch in _batches(cursor.mogrify(*each) for each in statements):
                    await cursor.execute("; ".join(batch))
                    answers.append(await _answer(cursor))
                    for _ in batch[1:]:
                        await cursor.nextset()
                        answers.append(await _answer(cursor))
        finally:
            self._answered = len(answers)
        return answers


async def _answer(cursor: Any) -> Answer:
    return FetchedAnswer(cursor.rowcount, await cursor.fetchall() if cursor.description else ())


def _batches(statements: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    for each in statements:
        if batch and sum(map(len, batch)) + len(each) > MAX_BATCH:
            yield batch
            batch = []
        batch.append(each)
    yield batch
