"""Parts of lists: pages by their number, with the exact total, or the rows after a cursor.

`?page=3&page_size=20` counts and skips, and so does `?skip=40&limit=20`. `?cursor=` (empty to begin with, then each
answer's `next_cursor`) continues after the last row seen, at a cost that does not grow with the depth, and nothing is
skipped or shown twice while rows come and go.
"""

import json
from functools import partial
from typing import Any, Protocol, get_args

from pydantic import BaseModel
from sqlalchemy import Dialect, FromClause, Select, Subquery
from sqlmodel import Integer, bindparam, select

from api.database.drivers import DriverConnection
from api.reads.counts import row_count
from api.reads.keyset import Keyset, keyset
from api.reads.plans import fetch_planned
from api.reads.rows import Read, as_json, json_list, model_of
from api.reads.searches import found_rows, is_search

LIMIT, OFFSET = "page_limit", "page_offset"


class PartOfList(Protocol):
    """The part of a list that is asked for."""

    cursor: str | None

    @property
    def offset(self) -> int: ...

    @property
    def size(self) -> int: ...


def read_page(statement: Select[Any], paging: PartOfList, *, sort: str = "-id", **values: Any) -> Read:
    """The part of a list that is asked for, in a total order.

    Args:
        statement: A select of one table class with its filters, and without an order.
        paging: The part that the client asks for.
        sort: A column that is never null; a minus reverses. Equal values are told apart by id.
        values: Those of the `bindparam`s of the statement.
    """
    part = _Numbered if paging.cursor is None else _AfterCursor
    return part(statement, paging, sort, values)


class _Part(Read):
    def __init__(self, statement: Select[Any], paging: PartOfList, sort: str, values: dict[str, Any]) -> None:
        super().__init__(statement, values)
        self.paging = paging
        self.order: Keyset = keyset(model_of(statement), sort)

    def _part(self, statement: Select[Any], order: Keyset) -> Select[Any]:
        """The part that is asked for, in order."""
        if self.paging.cursor:
            statement = statement.where(order.after())
        return statement.order_by(*order.clauses).limit(_parameter(LIMIT)).offset(_parameter(OFFSET))

    def _rows_of(self, part: FromClause, read: type[BaseModel], dialect: Dialect) -> Select[Any]:
        """The rows whose ids a part of the list has."""
        rows = as_json(Select(model_of(self.statement)), read=read, dialect=dialect)
        return rows.join(part, self.order.id == part.c.id).order_by(*self.order.clauses)

    def _part_of_found(self, statement: Select[Any]) -> Subquery:
        """The ids of the part that is asked for of what a search finds, with the number of all as `total`."""
        found = found_rows(statement, self.order)
        return self._part(select(found.c.id, found.c.total), self.order.among(found)).subquery("part")


class _AfterCursor(_Part):
    async def run(self, connection: DriverConnection, response_model: Any) -> bytes:
        read, cursor, size = _read_class_of(response_model), self.paging.cursor, self.paging.size
        values = self.values | (self.order.parameters(cursor) if cursor else {})

        def build(statement: Select[Any]) -> Select[Any]:
            if is_search(statement):
                return self._rows_of(self._part_of_found(statement), read, connection.dialect)
            return self._part(as_json(statement, read=read, dialect=connection.dialect), self.order)

        purpose = ("after", bool(cursor), read, self.order.sort)
        values |= {LIMIT: size + 1, OFFSET: 0}  # one more row tells whether there is a next part
        rows = await fetch_planned(connection, self.statement, purpose, build, values)
        items = [text.encode() for (text,) in rows[:size]]
        following = b"null"
        if len(rows) > size:
            following = b'"%b"' % self.order.cursor_at(json.loads(items[-1])).encode()
        return b'{"items":%b,"next_cursor":%b}' % (json_list(items), following)


class _Numbered(_Part):
    async def run(self, connection: DriverConnection, response_model: Any) -> bytes:
        read, offset, size = _read_class_of(response_model), self.paging.offset, self.paging.size

        def build(statement: Select[Any]) -> Select[Any]:
            return self._numbered(statement, read, connection.dialect)

        purpose = ("page", offset > 0, read, self.order.sort)
        values = self.values | {LIMIT: size, OFFSET: offset}
        rows = await fetch_planned(connection, self.statement, purpose, build, values)
        total = rows[0][1] if rows else await self._count(connection) if offset else 0
        return b'{"items":%b,"total":%d,"page":%d,"page_size":%d,"total_pages":%d,"has_next":%b,"has_previous":%b}' % (
            json_list([text.encode() for text, _ in rows]),
            total,
            offset // size + 1,
            size,
            -(-total // size),
            b"true" if offset + size < total else b"false",
            b"true" if offset else b"false",
        )

    def _numbered(self, statement: Select[Any], read: type[BaseModel], dialect: Dialect) -> Select[Any]:
        if is_search(statement):
            part = self._part_of_found(statement)
            return self._rows_of(part, read, dialect).add_columns(part.c.total)
        total = row_count(statement, dialect).correlate(None).scalar_subquery()
        if self.paging.offset == 0:
            return self._part(as_json(statement, read=read, dialect=dialect), self.order).add_columns(total)
        # The filters stand in the subquery alone. It skips rows by their ids: PostgreSQL would make the JSON of each.
        part = self._part(statement.with_only_columns(self.order.id), self.order).subquery("part")
        return self._rows_of(part, read, dialect).add_columns(total)

    async def _count(self, connection: DriverConnection) -> int:
        """A page beyond the end has no row to bring the total along."""
        build = partial(row_count, dialect=connection.dialect)
        ((total,),) = await fetch_planned(connection, self.statement, "count", build, self.values)
        return int(total)


def _parameter(name: str) -> Any:
    return bindparam(name, type_=Integer)


def _read_class_of(response_model: Any) -> type[BaseModel]:
    """`ProductRead` of `Page[ProductRead] | CursorPage[ProductRead]`."""
    page = get_args(response_model)[0]
    (read,) = page.__pydantic_generic_metadata__["args"]
    found: type[BaseModel] = read
    return found
