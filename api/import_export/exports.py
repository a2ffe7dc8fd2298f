"""Writing files: the rows of an export as CSV or JSON Lines, in parts, so that memory does not grow with the file.

The rows are read in the order of their ids, each part by a statement of its own ("keyset pagination"). No connection
and no transaction is held while a client reads slowly. A row is as it was when its part was read; an order and its
lines are of one moment. No row is left out or comes twice, and rows that are added meanwhile may come at the end.
"""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Dialect, Select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import aliased
from sqlmodel import Integer, bindparam, select

from api.database.errors import is_broken_connection, needs_fresh_session
from api.database.sessions import Database
from api.database.statements import Row
from api.import_export.cells import cell_of
from api.import_export.families import Export
from api.import_export.references import Reference
from api.reads.json_expressions import read_class_in
from api.reads.keyset import AFTER_ID, keyset
from api.reads.plans import fetch_planned
from api.reads.rows import as_json, model_of
from api.web.file_formats import FileFormat

ROWS_AT_A_TIME = 250
"""Rows of one statement: 250 products with the longest texts, or orders of a hundred lines, are some five megabytes."""

TEXT_AT_A_TIME = 65_536
"""Characters of JSON that are made to rows of a file in one step, and one row more: some 5 ms in which no other request
is answered. A product has some 400 of them, or 20,000; an order has some 200 a line, each of which is a row of CSV."""

ATTEMPTS = 3
"""Runs of the statement of one part, where its connection breaks or there is none."""

PAUSE = 1.0
"""Seconds between them, once the file has begun: before that, whoever asks is told to come back."""

LIMIT, OFFSET = "part_limit", "part_offset"

BYTE_ORDER_MARK = "\ufeff".encode()
"""Begins a CSV file, or Excel would take its UTF-8 for another encoding and spoil every accent."""


async def write_export(database: Database, export: Export, file_format: FileFormat) -> AsyncIterator[bytes]:
    """The parts of a file.

    Raises:
        sqlalchemy.exc.DBAPIError: The database stays unreachable.
        sqlalchemy.exc.TimeoutError: No connection becomes free.
    """
    write = _csv_rows(export) if file_format is FileFormat.CSV else _json_lines
    header = BYTE_ORDER_MARK + csv_text([_header(export)]) if file_format is FileFormat.CSV else b""
    rows, after = await _part(database, export, 0), 0
    yield header
    while rows:
        for step in _steps(rows):
            yield write([_row(export, row) for row in step])
            await asyncio.sleep(0)  # others have their turn
        if len(rows) < ROWS_AT_A_TIME:
            return
        after = rows[-1][1]
        rows = await _part(database, export, after)


def start_of(export: Export, file_format: FileFormat) -> str:
    """How a file begins, to show what it is."""
    return csv_text([_header(export)]).decode() if file_format is FileFormat.CSV else '{"id": 1, …}\n'


def _steps(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    start = size = 0
    for end, row in enumerate(rows, 1):
        size += len(row[0])
        if size >= TEXT_AT_A_TIME or end == len(rows):
            yield rows[start:end]
            start, size = end, 0


async def _part(database: Database, export: Export, after: int) -> Sequence[Row]:
    """The next rows: the JSON of each, its id, and its slugs."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with database.connection() as connection:

                def build(rows: Select[Any]) -> Select[Any]:
                    return _rows_after(rows, export, connection.dialect)

                values = {AFTER_ID: after, LIMIT: ROWS_AT_A_TIME, OFFSET: 0}  # SQLite has an offset with each limit
                return await fetch_planned(connection, export.rows, ("export", export.read), build, values)
        except (DBAPIError, PoolTimeout) as error:
            if attempt == ATTEMPTS or not _may_be_repeated(error, has_begun=after > 0):
                raise
            if after:
                await asyncio.sleep(PAUSE)
    raise AssertionError("the last attempt returns or raises")


def _may_be_repeated(error: DBAPIError | PoolTimeout, *, has_begun: bool) -> bool:
    """A file that has begun cannot be refused any more, so its rows wait for a connection again."""
    if isinstance(error, PoolTimeout):
        return has_begun
    return is_broken_connection(error) or needs_fresh_session(error)


def _rows_after(rows: Select[Any], export: Export, dialect: Dialect) -> Select[Any]:
    model = model_of(rows)
    order = keyset(model, "id")
    slugs = (_slug_of(model, each) for each in export.references)
    found = as_json(rows.where(order.after()), read=export.read, dialect=dialect).add_columns(order.id, *slugs)
    limit, offset = (bindparam(name, type_=Integer) for name in (LIMIT, OFFSET))
    return found.order_by(*order.clauses).limit(limit).offset(offset)


def _slug_of(model: Any, reference: Reference) -> Any:
    target: Any = aliased(reference.target)
    return select(target.slug).where(target.id == getattr(model, reference.field)).scalar_subquery()


def _row(export: Export, row: Row) -> dict[str, Any]:
    """The fields of a row, in the order of its Read class on every database."""
    text, _, *slugs = row
    fields = json.loads(text)
    fields |= {each.field: slug for each, slug in zip(export.references, slugs, strict=True)}
    return dict(zip(export.columns, map(fields.__getitem__, export.read.model_fields), strict=True))


def _json_lines(rows: Sequence[dict[str, Any]]) -> bytes:
    return "".join(f"{json.dumps(each, ensure_ascii=False)}\n" for each in rows).encode()


def _csv_rows(export: Export) -> Callable[[Sequence[dict[str, Any]]], bytes]:
    if export.lines is None:
        return lambda rows: csv_text([each.values() for each in rows])
    lines, columns = export.lines, list(_line_columns(export))

    def cells(row: dict[str, Any]) -> Iterator[list[Any]]:
        own = [value for name, value in row.items() if name != lines]
        for line in row[lines] or [{}]:
            yield [*own, *(line.get(each) for each in columns)]

    return lambda rows: csv_text(each for row in rows for each in cells(row))


def _header(export: Export) -> list[str]:
    """Without lines, the fields of a row; with lines, those of the line behind them, such as `items.quantity`."""
    own = [each for each in export.columns if each != export.lines]
    return [*own, *(f"{export.lines}.{each}" for each in _line_columns(export))]


def _line_columns(export: Export) -> Iterable[str]:
    if export.lines is None:
        return ()
    line: type[BaseModel] = read_class_in(export.read.model_fields[export.lines].annotation)
    return line.model_fields


def csv_text(rows: Iterable[Iterable[Any]]) -> bytes:
    """Rows of CSV, as RFC 4180 has it."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(map(cell_of, row) for row in rows)
    return text.getvalue().encode()
