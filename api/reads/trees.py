"""Rows nested below their parents, as one answer."""

from functools import partial
from typing import Any, get_args

from pydantic import BaseModel
from sqlalchemy import Dialect, Select
from sqlmodel import col

from api.database.drivers import DriverConnection
from api.reads.plans import fetch_planned
from api.reads.rows import Read, as_json, json_list, model_of

CHILDREN = "children"
"""The last field of the Read class of a tree."""


def read_tree(statement: Select[Any]) -> Read:
    """The rows of a table whose `parent_id` names another row; each level in the order of the statement.

    The last field of the Read class is `children`.
    """
    return _Tree(statement, {})


class _Tree(Read):
    async def run(self, connection: DriverConnection, response_model: Any) -> bytes:
        (read,) = get_args(response_model)
        build = partial(_with_parents, read=read, dialect=connection.dialect)
        rows = await fetch_planned(connection, self.statement, ("tree", read), build, self.values)
        below: dict[int | None, list[tuple[int, bytes]]] = {}
        for text, row_id, parent_id in rows:
            below.setdefault(parent_id, []).append((row_id, text.encode()))

        def nested(parent_id: int | None) -> bytes:
            children = below.get(parent_id, ())
            return json_list(
                [b'%b,"%b":%b}' % (text[:-1], CHILDREN.encode(), nested(row_id)) for row_id, text in children]
            )

        return nested(None)


def _with_parents(statement: Select[Any], *, read: type[BaseModel], dialect: Dialect) -> Select[Any]:
    model = model_of(statement)
    return as_json(statement, read=read, dialect=dialect, without={CHILDREN}).add_columns(
        col(model.id), col(model.parent_id)
    )
