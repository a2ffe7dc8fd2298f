"""A list as CSV, written while it is read."""

import csv
import io
from collections.abc import AsyncIterator
from typing import Any

from api.admin.entities import Column, Entities, Kind
from api.admin.lists import AFTER, ListQuery, read_part
from api.admin.rows import text_of
from api.database.sessions import Database
from api.models.user import Caller

ROWS_AT_A_TIME = 1_000

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How texts begin that a spreadsheet would calculate. They get an apostrophe, which spreadsheets do not show."""

TEXTS = (Kind.TEXT, Kind.LONG_TEXT, Kind.DOCUMENT)


async def csv_lines(database: Database, entities: Entities, query: ListQuery, user: Caller) -> AsyncIterator[str]:
    """The header and all rows that a query finds, some at a time, each part with a connection of its own."""
    columns = list(query.entity.columns)
    yield _written([["id", *(each.name for each in columns)]])
    following: str | None = ""
    while following is not None:
        query.typed[AFTER] = following
        async with database.reads() as session:
            part = await read_part(session, entities, query, columns, user, ROWS_AT_A_TIME)
        yield _written(
            [[each.id, *(_cell(column, each.values[column.name]) for column in columns)] for each in part.rows]
        )
        following = part.following


def _cell(column: Column, value: Any) -> str:
    text = text_of(value)
    return f"'{text}" if column.kind in TEXTS and text.startswith(FORMULA) else text


def _written(rows: list[list[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
