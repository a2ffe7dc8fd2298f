"""What a route answers a read with: a `select()`, of which the route's Read class says the format.

    return read_one(select(Product).where(Product.id == product_id, visible))

Nothing is read until the route has returned: `api/web/routing.py` then takes a connection, and answers what the
database writes. A route that needs the rows themselves asks for a `ReadSession`.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any, NamedTuple

from pydantic import BaseModel
from sqlalchemy import Dialect, Select
from sqlmodel import String, cast

from api.database.drivers import DriverConnection
from api.errors import NotFound
from api.models.base import noun_of
from api.reads.json_expressions import json_of_row
from api.reads.plans import fetch_planned


class RowAsJSON(NamedTuple):
    """A row that a route has already, as the database wrote it in the format of the Read class."""

    content: bytes
    version: Any
    """For its ETag; a row that nobody edits has none."""


class Read(ABC):
    """A read that a route answers; `values` are those of the statement's `bindparam`s."""

    def __init__(self, statement: Select[Any], values: dict[str, Any]) -> None:
        self.statement = statement
        self.values = values
        self.version: Any = None
        """That of the row, once it is read, for its ETag; a list has none."""

    async def rows(self, connection: DriverConnection, read: type[BaseModel]) -> list[bytes]:
        """The JSON of each row that the statement finds."""
        build = partial(as_json, read=read, dialect=connection.dialect)
        return [text.encode() for (text,) in await fetch_planned(connection, self.statement, read, build, self.values)]

    @abstractmethod
    async def run(self, connection: DriverConnection, response_model: Any) -> bytes:
        """The answer in JSON."""


def read_one(statement: Select[Any], **values: Any) -> Read:
    """The one row that a statement finds; a 404 where it finds none. `values` are those of its `bindparam`s."""
    return _One(statement, values)


class _One(Read):
    async def run(self, connection: DriverConnection, response_model: Any) -> bytes:
        build = partial(_with_version, read=response_model, dialect=connection.dialect)
        rows = await fetch_planned(connection, self.statement, ("one", response_model), build, self.values)
        if not rows:
            raise no_such(model_of(self.statement))
        text, *version = rows[0]
        self.version = version[0] if version else None
        content: bytes = text.encode()
        return content


def _with_version(statement: Select[Any], read: type[BaseModel], dialect: Dialect) -> Select[Any]:
    versioned_by = getattr(model_of(statement), "versioned_by", None)
    row = as_json(statement, read=read, dialect=dialect)
    return row if versioned_by is None else row.add_columns(getattr(model_of(statement), versioned_by))


async def rows_by_id(connection: DriverConnection, statement: Select[Any], read: type[BaseModel]) -> dict[int, bytes]:
    """The JSON of each row that a statement finds, as a list of such rows has it, by the row's id."""
    build = partial(_with_id, read=read, dialect=connection.dialect)
    rows = await fetch_planned(connection, statement, ("by id", read), build, {})
    return {row_id: text.encode() for text, row_id in rows}


def _with_id(statement: Select[Any], read: type[BaseModel], dialect: Dialect) -> Select[Any]:
    return as_json(statement, read=read, dialect=dialect).add_columns(model_of(statement).id)


def as_json(
    statement: Select[Any], *, read: type[BaseModel], dialect: Dialect, without: Collection[str] = ()
) -> Select[Any]:
    """A statement that returns the JSON of each row, as text; `without` are fields that are added later."""
    row = json_of_row(read, model_of(statement), dialect, without)
    # To PostgreSQL it is JSON, which the driver would parse.
    return statement.with_only_columns(cast(row, String) if dialect.name == "postgresql" else row)


def model_of(statement: Select[Any]) -> Any:
    """`Product` of `select(Product)`."""
    return statement.column_descriptions[0]["entity"]


def no_such(model: Any) -> NotFound:
    return NotFound(f"There is no such {noun_of(model)}.")


def json_list(rows: Sequence[bytes]) -> bytes:
    return b"[%b]" % b",".join(rows)
