"""Rows as plain objects: the columns of a Read class, out of a transaction, and tracked by no session."""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from pydantic import BaseModel
from sqlalchemy import Select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.connections import driver_of
from api.database.statements import Row, Statement
from api.reads.rows import model_of, no_such

R = TypeVar("R", bound=BaseModel)


class PlainStatement(Generic[R]):
    """A statement that is always the same but for its `bindparam`s, and finds one row at most."""

    def __init__(self, statement: Select[Any], read: type[R]) -> None:
        self._model = model_of(statement)
        self._read = read
        columns = (getattr(self._model, name) for name in read.model_fields)
        self.statement = Statement(statement.with_only_columns(*columns))

    async def one(self, session: AsyncSession, **values: Any) -> R | None:
        return self._first_of(await (await driver_of(session)).fetch(self.statement, **values))

    async def one_or_404(self, session: AsyncSession, **values: Any) -> R:
        """The row, for rules that change it by conditional UPDATEs.

        Raises:
            NotFound: There is none.
        """
        return self.only(await (await driver_of(session)).fetch(self.statement, **values))

    def only(self, rows: Sequence[Row]) -> R:
        """The one row that the statement has found.

        Raises:
            NotFound: It has found none.
        """
        found = self._first_of(rows)
        if found is None:
            raise no_such(self._model)
        return found

    def _first_of(self, rows: Sequence[Row]) -> R | None:
        return self._read.model_construct(**dict(zip(self._read.model_fields, rows[0], strict=True))) if rows else None
