"""A feed: rows in the order of their positions, which are given one after the other when the rows are committed.

A list by id would skip rows: a transaction that takes long commits ids below those that a client has read already.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from sqlalchemy import Select
from sqlmodel import Integer, bindparam

from api.database.drivers import DriverConnection
from api.database.statements import Row
from api.reads.plans import fetch_planned
from api.reads.rows import Read, as_json, json_list

Placed = tuple[str, int, str]
"""A row in JSON, its position, and one more column."""

LIMIT, OFFSET = "feed_limit", "feed_offset"


def read_feed(statement: Select[Any], position: Any, *, after: int, limit: int) -> Read:
    """The rows after a position, with the cursor of the last one, or the same one again where there is none yet.

    Args:
        statement: A select of one table class with its filters, and without an order.
        position: The column that says where a row stands, or null.
        after: The position that was read last; zero is before the first.
        limit: Rows at most.
    """
    return _Feed(statement.where(position > after), position, after, limit)


async def fetch_feed(
    connection: DriverConnection,
    statement: Select[Any],
    position: Any,
    read: type[BaseModel],
    after: int,
    limit: int,
    column: Any,
) -> list[Placed]:
    """The same rows one by one, each with one more column."""
    feed = _Feed(statement.where(position > after), position, after, limit, column)
    return [(text, place, value) for text, place, value in await feed.fetch(connection, read)]


class _Feed(Read):
    def __init__(self, statement: Select[Any], position: Any, after: int, limit: int, *columns: Any) -> None:
        super().__init__(statement, {LIMIT: limit, OFFSET: 0})  # SQLite has an offset with each limit
        self._position = position
        self._after = after
        self._columns = columns

    async def run(self, connection: DriverConnection, response_model: Any) -> bytes:
        (read,) = response_model.__pydantic_generic_metadata__["args"]
        rows = await self.fetch(connection, read)
        last = rows[-1][1] if rows else self._after
        return b'{"items":%b,"next_cursor":"%d"}' % (json_list([row[0].encode() for row in rows]), last)

    async def fetch(self, connection: DriverConnection, read: type[BaseModel]) -> Sequence[Row]:
        def build(statement: Select[Any]) -> Select[Any]:
            rows = as_json(statement, read=read, dialect=connection.dialect).add_columns(self._position, *self._columns)
            limit, offset = (bindparam(name, type_=Integer) for name in (LIMIT, OFFSET))
            return rows.order_by(self._position).limit(limit).offset(offset)

        return await fetch_planned(connection, self.statement, ("feed", read, len(self._columns)), build, self.values)
