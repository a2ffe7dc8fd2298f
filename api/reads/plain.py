"""Rows as plain objects: the columns of a Read class, out of a transaction, and tracked by no session."""

from typing import Any, Generic, TypeVar

from pydantic import BaseModel
from sqlalchemy import Select, inspect
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.connections import driver_of
from api.database.statements import Row, Statement
from api.reads.rows import model_of

R = TypeVar("R", bound=BaseModel)


class PlainStatement(Generic[R]):
    """A statement that is always the same but for its `bindparam`s, and finds one row at most."""

    def __init__(self, statement: Select[Any], read: type[R]) -> None:
        self.model = model_of(statement)
        self._read = read
        self._names = _columns_in(statement, read)
        self._statement = Statement(_only(self._names, statement))

    async def one(self, session: AsyncSession, **values: Any) -> R | None:
        driver = await driver_of(session)
        rows = await driver.fetch(self._statement, **values)
        return _plain(self._read, self._names, rows[0]) if rows else None


def _columns_in(statement: Select[Any], read: type[BaseModel]) -> list[str]:
    columns = inspect(model_of(statement)).columns
    return [name for name in read.model_fields if name in columns]


def _only(names: list[str], statement: Select[Any]) -> Select[Any]:
    model = model_of(statement)
    return statement.with_only_columns(*(getattr(model, name) for name in names))


def _plain(read: type[R], names: list[str], row: Row) -> R:
    return read.model_construct(**dict(zip(names, row, strict=True)))
