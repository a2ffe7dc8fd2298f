"""A statement that is given up on SQLite, where no server stops it: its thread ends at once, and leaves nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlmodel import select, text

from api.database.sessions import Database
from api.database.statements import Statement
from api.models.tag import Tag
from api.settings import Settings

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)

Run = Callable[[Database], Awaitable[None]]

LONG = text(
    "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1000000000) "
    "SELECT count(*) FROM numbers"
)
"""Minutes of work."""


async def run_on_the_driver(database: Database) -> None:
    async with database.connection() as connection:
        await connection.fetch(Statement(LONG))


async def read(database: Database) -> None:
    async with database.reads() as session:
        await (await session.connection()).execute(LONG)


async def write(database: Database) -> None:
    async with database.transaction() as session:
        session.add(Tag(name="Undone", slug="undone"))
        await session.flush()
        await (await session.connection()).execute(LONG)


RUNS = pytest.mark.parametrize("run", [run_on_the_driver, read, write])


async def give_up(settings: Settings, run: Run) -> list[str]:
    database = Database(settings)
    statement = asyncio.ensure_future(run(database))
    await asyncio.sleep(0.2)
    statement.cancel()
    await asyncio.wait([statement])
    async with asyncio.timeout(10), database.transaction() as session:
        names = (await session.exec(select(Tag.name))).all()
    await database.close()
    return list(names)


@RUNS
def test_it_keeps_no_lock_and_its_loop_ends(settings: Settings, run: Run) -> None:
    """Without the interruption the loop waited for an answer that nobody gave any more, and a process never stopped."""
    with ThreadPoolExecutor(1) as thread:
        assert "Undone" not in thread.submit(asyncio.run, give_up(settings, run)).result(timeout=60)
