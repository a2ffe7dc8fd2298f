"""What the tests of the engine and of the sessions share."""

from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database


class OpenDatabase(Protocol):
    """Opens the database of the test once more; `changes` are settings."""

    def __call__(self, **changes: Any) -> AbstractAsyncContextManager[Database]: ...


async def value_of(session: AsyncSession, statement: str) -> Any:
    """The last column of the one row that a statement returns."""
    connection = await session.connection()
    return (await connection.exec_driver_sql(statement)).one()[-1]
