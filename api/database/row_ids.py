"""Ids that are given out before their rows are written, where that is faster.

PostgreSQL takes them from a sequence, which can be asked together with something else: rows that refer to each other
are then sent in one go. SQLite returns the id of each new row by a statement of its own, and each statement is a turn
of the connection's thread, which takes ten times as long as the row. A write transaction of SQLite is alone, so ids can
be given out here, and all rows go into one statement. MariaDB has neither.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Dialect, inspect
from sqlmodel import SQLModel, func, literal_column, select, text
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.batches import Answered, Call
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


def next_ids(dialect: Dialect, model: type[SQLModel], count: int = 1) -> tuple[Call, ...]:
    """The statement that gives out the ids of so many new rows, for `together`; none where only the INSERT knows them.

    An id is given out once, also where its row is never written. Those of one call rise.
    """
    return ((_next_ids(model, count), {}),) if dialect.name == "postgresql" else ()


def next_id(given: Sequence[Answered]) -> int | None:
    """The one id that was given out, if any was."""
    return given[0].rows[0][0] if given else None


@cache
def _next_ids(model: type[SQLModel], count: int) -> Statement:
    """By the name that PostgreSQL gives the sequence of a `SERIAL`, as SQLAlchemy knows it too: to ask takes longer."""
    sequence: Any = literal_column(f"'{inspect(model).local_table.name}_id_seq'")
    return Statement(select(func.nextval(sequence)).select_from(func.generate_series(1, count).alias()))
