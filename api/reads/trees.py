"""Rows nested below their parents, as one answer."""

from collections.abc import Sequence
from functools import partial
from typing import Any, get_args

from anyio import to_thread
from pydantic import BaseModel
from sqlalchemy import Dialect, Select
from sqlmodel import col

from api.database.drivers import DriverConnection
from api.database.statements import Row
from api.reads.plans import fetch_planned
from api.reads.rows import Read, as_json, json_list, model_of

CHILDREN = "children"
"""The last field of the Read class of a tree."""

FEW_ROWS = 1_000
"""Rows that are nested in less than 2 ms; more are nested in a thread, while other requests are answered."""


def read_tree(statement: Select[Any], *, below: int | None = None) -> Read:
    """The rows of a table whose `parent_id` names another row; each level in the order of the statement.

    The last field of the Read class is `children`. `below` is the id of the row under which all others are.
    """
    return _Tree(statement, below)


class _Tree(Read):
    def __init__(self, statement: Select[Any], below: int | None) -> None:
        super().__init__(statement, {})
        self._below = below

    async def run(self, connection: DriverConnection, response_model: Any) -> bytes:
        (read,) = get_args(response_model)
        build = partial(_with_parents, read=read, dialect=connection.dialect)
        rows = await fetch_planned(connection, self.statement, ("tree", read), build, self.values)
        if len(rows) <= FEW_ROWS:
            return _nested(rows, self._below)
        return await to_thread.run_sync(_nested, rows, self._below)


def _nested(rows: Sequence[Row], below: int | None) -> bytes:
    children: dict[int | None, list[tuple[int, bytes]]] = {}
    for text, row_id, parent_id in rows:
        children.setdefault(parent_id, []).append((row_id, text.encode()))

    def listed(parent_id: int | None) -> bytes:
        return json_list(
            [
                b'%b,"%b":%b}' % (text[:-1], CHILDREN.encode(), listed(row_id))
                for row_id, text in children.get(parent_id, ())
            ]
        )

    return listed(below)


def _with_parents(statement: Select[Any], *, read: type[BaseModel], dialect: Dialect) -> Select[Any]:
    model = model_of(statement)
    return as_json(statement, read=read, dialect=dialect, without={CHILDREN}).add_columns(
        col(model.id), col(model.parent_id)
    )
