"""Rows as plain objects: the columns of a Read class, out of a transaction, and tracked by no session."""

from typing import Any, Generic, TypeVar

from pydantic import BaseModel
from sqlalchemy import Select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.connections import driver_of
from api.database.statements import Statement
from api.reads.rows import model_of, no_such

R = TypeVar("R", bound=BaseModel)


class PlainStatement(Generic[R]):
    """A statement that is always the same but for its `bindparam`s, and finds one row at most."""

    def __init__(self, statement: Select[Any], read: type[R]) -> None:
        self._model = model_of(statement)
        self._read = read
        columns = (getattr(self._model, name) for name in read.model_fields)
        self._statement = Statement(statement.with_only_columns(*columns))

    async def one(self, session: AsyncSession, **values: Any) -> R | None:
        driver = await driver_of(session)
        rows = await driver.fetch(self._statement, **values)
        return self._read.model_construct(**dict(zip(self._read.model_fields, rows[0], strict=True))) if rows else None

    async def one_or_404(self, session: AsyncSession, **values: Any) -> R:
        """The row, for rules that change it by conditional UPDATEs.

        Raises:
            NotFound: There is none.
        """
        found = await self.one(session, **values)
        if found is None:
            raise no_such(self._model)
        return found
