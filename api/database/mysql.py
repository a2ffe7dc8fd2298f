"""The driver's own connection to MySQL and MariaDB, which take several statements in one packet.

Source: "Multi-Statement" in the manual of MySQL's client/server protocol. The driver asks for it at each connection.
A packet that is given up is run to its end by the server, a COMMIT in it too: whoever sent it says that nobody knows.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from api.database.batches import SQL, Answer, Answered
from api.database.drivers import DriverConnection

MAX_BATCH = 200_000
"""Characters of one batch, unless a single statement has more. By default no server takes less than a megabyte."""


class MySQLConnection(DriverConnection):
    async def _run_batch(self, statements: Sequence[SQL]) -> Sequence[Answer]:
        answers: list[Answer] = []
        try:
            async with self._driver.cursor() as cursor:
                for batch in _batches(cursor.mogrify(*each) for each in statements):
                    await cursor.execute("; ".join(batch))
                    answers.append(await self._answer(cursor))
                    for _ in batch[1:]:
                        await cursor.nextset()
                        answers.append(await self._answer(cursor))
        finally:
            self._answered = len(answers)
        return answers

    async def _answer(self, cursor: Any) -> Answer:
        self._heard_at = time.monotonic()
        return Answered(cursor.rowcount, await cursor.fetchall() if cursor.description else ())


def _batches(statements: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    for each in statements:
        if batch and sum(map(len, batch)) + len(each) > MAX_BATCH:
            yield batch
            batch = []
        batch.append(each)
    yield batch
