"""What the tests of /auth share."""

from sqlmodel import SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession


async def everything_stored(session: AsyncSession) -> str:
    """All rows of all tables, as one text."""
    connection = await session.connection()
    rows = [row for table in SQLModel.metadata.sorted_tables for row in await connection.execute(table.select())]
    return repr(rows)
