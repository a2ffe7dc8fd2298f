"""A list as CSV, written while it is read: the columns that the list has, as cells of the same kind as an export's."""

from collections.abc import AsyncIterator
from typing import Any

from api.admin.entities import Entities
from api.admin.lists import AFTER, ListQuery, read_part
from api.admin.rows import text_of
from api.database.sessions import Database
from api.import_export.exports import BYTE_ORDER_MARK, csv_text
from api.models.user import Caller

ROWS_AT_A_TIME = 1_000


async def csv_lines(database: Database, entities: Entities, query: ListQuery, user: Caller) -> AsyncIterator[bytes]:
    """The header and all rows that a query finds, some at a time, each part with a connection of its own."""
    columns = list(query.entity.columns)
    header = BYTE_ORDER_MARK + csv_text([["id", *(each.name for each in columns)]])
    following: str | None = ""
    while following is not None:
        query.typed[AFTER] = following
        async with database.reads() as session:
            part = await read_part(session, entities, query, columns, user, ROWS_AT_A_TIME)
        rows = ([each.id, *(_cell(each.values[column.name]) for column in columns)] for each in part.rows)
        yield header + csv_text(rows)
        header, following = b"", part.following


def _cell(value: Any) -> str | None:
    return None if value is None else text_of(value)
