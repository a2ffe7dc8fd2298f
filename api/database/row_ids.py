"""Ids that are given out before their rows are written, where that is faster.

SQLite returns the id of each new row by a statement of its own, and each statement is a turn of the connection's
thread, which takes ten times as long as the row. A write transaction of SQLite is alone, so ids can be given out here,
and all rows go into one statement. The other databases return the ids of many rows at once.
"""

from typing import Any

from sqlalchemy import inspect
from sqlmodel import SQLModel, text
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.connections import driver_of
from api.database.statements import Statement

LAST_ID = Statement(text("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = :name), 0)"))


FEW = 10
"""Rows for which one more statement is not worth it."""


async def reserve_ids(session: AsyncSession, model: type[SQLModel], count: int) -> list[dict[str, Any]]:
    """The `id` of each of so many new rows, or nothing where the database gives it. Write them in this transaction."""
    if count < FEW:
        return [{}] * count
    driver = await driver_of(session)
    if driver.dialect.name != "sqlite":
        return [{}] * count
    ((last,),) = await driver.fetch(LAST_ID, name=str(inspect(model).local_table.name))
    return [{"id": row_id} for row_id in range(last + 1, last + 1 + count)]
