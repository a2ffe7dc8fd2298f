"""Statements through libpq, PostgreSQL's client library, as psycopg offers it: prepared, and several in one round trip.

A cursor of psycopg takes twice as long for one statement, and three times as long for each one of a pipeline. Source:
"Asynchronous Command Processing" and "Pipeline Mode" in libpq's manual.
"""

from collections import OrderedDict
from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

from psycopg import AsyncConnection, abc, adapt
from psycopg.errors import error_from_result
from psycopg.generators import execute, fetch_many, send
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from api.database.batches import SQL

MAX_PREPARED = 200
"""Statements that stay prepared on one connection, more than most shops run. Each takes some 20 kB of the server."""

Preparation = tuple[bytes, tuple[int, ...]]
"""What a statement is prepared for: its SQL, and the types of its values."""


class LibpqAnswer(NamedTuple):
    """What the server answered to a statement. Its rows can be read until the next one is run."""

    result: PGresult
    transformer: abc.Transformer

    def fetched(self) -> list[tuple[Any, ...]]:
        self.transformer.set_pgresult(self.result)
        return self.transformer.load_rows(0, self.result.ntuples, tuple)

    @property
    def row_count(self) -> int:
        """How many rows the statement changed or found."""
        return self.result.command_tuples or 0

    @property
    def command(self) -> bytes:
        """Such as `COMMIT`; it is `ROLLBACK` where the transaction that was to be committed had failed."""
        return self.result.command_status or b""


class _Encoded(NamedTuple):
    """A statement as the server takes it."""

    preparation: Preparation
    values: Sequence[Any]
    formats: Any
    name: bytes
    """Under which it is prepared; without one, it is not to be prepared."""
    is_prepared: bool


class Libpq:
    """The statements of one connection, for as long as it lives."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self._connection = connection
        self._transformer: abc.Transformer = adapt.Transformer(connection)
        self._prepares = connection.prepare_threshold is not None
        self._names: OrderedDict[Preparation, bytes] = OrderedDict()
        self._last_number = 0
        self.answered = 0
        """How many of the statements of the last run were answered without an error."""

    async def run(self, statements: Sequence[SQL]) -> list[LibpqAnswer]:
        """Run statements in their order. After one that fails, none is run.

        Raises:
            psycopg.Error: The server refused the statement after those that are `answered`, or the connection is dead.
        """
        self.answered = 0
        encoded = [self._encoded(*each) for each in statements]
        if len(encoded) == 1 and encoded[0].is_prepared:
            self._send(encoded[0])
            return [self._answer(await self._connection.wait(execute(self._connection.pgconn)))]
        return await self._run_in_pipeline(encoded)

    def _encoded(self, sql: str, values: Sequence[Any]) -> _Encoded:
        transformer = self._transformer
        dumped = transformer.dump_sequence(values, [adapt.PyFormat.AUTO] * len(values))
        preparation = (sql.encode(), transformer.types or ())
        name = self._names.get(preparation) if self._prepares else b""
        is_prepared = name is not None
        if name is None:
            self._last_number += 1
            name = b"shop_%d" % self._last_number
        return _Encoded(preparation, dumped, transformer.formats, name, is_prepared)

    def _send_back(self) -> int:
        """Take back the statement that was not run for longest, where there are too many, and return how many are."""
        if len(self._names) <= MAX_PREPARED:
            return 0
        _, name = self._names.popitem(last=False)
        self._connection.pgconn.send_query_params(b"DEALLOCATE %b" % name, ())
        return 1

    def _send(self, encoded: _Encoded) -> None:
        pgconn, (sql, types) = self._connection.pgconn, encoded.preparation
        if not encoded.name:
            pgconn.send_query_params(sql, encoded.values, types, encoded.formats)
            return
        if encoded.is_prepared:
            self._names.move_to_end(encoded.preparation)
        else:
            pgconn.send_prepare(encoded.name, sql, types)
        pgconn.send_query_prepared(encoded.name, encoded.values, encoded.formats)

    async def _run_in_pipeline(self, encoded: Sequence[_Encoded]) -> list[LibpqAnswer]:
        pgconn = self._connection.pgconn
        pgconn.enter_pipeline_mode()
        for each in encoded:
            self._send(each)
        superfluous = self._send_back()
        pgconn.pipeline_sync()
        expected = len(encoded) + sum(not each.is_prepared for each in encoded) + superfluous + 1  # that of the sync
        results = iter(await self._connection.wait(self._received(expected)))
        pgconn.exit_pipeline_mode()
        answers = []
        for each in encoded:
            if not each.is_prepared:
                self._answer(next(results))
                self._names[each.preparation] = each.name
            answers.append(self._answer(next(results)))
            self.answered += 1
        return answers

    def _received(self, count: int) -> Generator[Any, Any, list[list[PGresult]]]:
        pgconn = self._connection.pgconn
        yield from send(pgconn)
        received = []
        for _ in range(count):
            received.append((yield from fetch_many(pgconn)))
        return received

    def _answer(self, results: Sequence[PGresult]) -> LibpqAnswer:
        """
        Raises:
            psycopg.Error: The server refused the statement.
        """
        result = results[-1]
        if result.status not in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
            raise error_from_result(result, encoding=self._transformer.encoding)
        return LibpqAnswer(result, self._transformer)
