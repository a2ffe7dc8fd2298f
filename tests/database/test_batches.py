"""Statements in one batch: run in their order, and none after one that failed."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import aiomysql  # type: ignore[import-untyped]
import pytest
from sqlalchemy.exc import IntegrityError
from sqlmodel import bindparam, col, func, select, text
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database import mysql, sqlite
from api.database.connections import driver_of
from api.database.driver_internals import run_in_thread
from api.database.sessions import Database
from api.database.statements import Insertion, Statement
from api.database.transactions import undo
from api.models.tag import Tag
from api.models.types import MAX_ID
from tests.database.support import value_of
from tests.factories import a_tag

SELECT_TAGS = Statement(select(col(Tag.name)).where(col(Tag.id) >= bindparam("first")))
DELETE_MADE = Statement(text("DELETE FROM tags WHERE slug LIKE 'made-%'"))
SELECT_ONE = Statement(text("SELECT 1"))
INSERT_TAG = Insertion(Tag)
MADE = [INSERT_TAG.values(name=f"Tag {number}", slug=f"made-{number}") for number in range(3)]


async def made(session: AsyncSession) -> int:
    return (await session.exec(select(func.count()).select_from(Tag).where(col(Tag.slug).startswith("made-")))).one()


async def test_after_a_statement_that_fails_none_is_run_and_the_error_is_its_own(
    database: Database, session: AsyncSession
) -> None:
    tag = await a_tag(session)
    async with database.transaction() as writing:
        driver = await driver_of(writing)
        await driver.send(INSERT_TAG.recorded, **INSERT_TAG.values(name=tag.name, slug="another"))
        await driver.send(INSERT_TAG.recorded, **INSERT_TAG.values(name="Vinyl", slug="vinyl"))
        with pytest.raises(IntegrityError, match=r"uq_tags_name|tags\.name"):
            await driver.fetch(SELECT_TAGS, first=MAX_ID)
        await undo(writing)
    assert await value_of(session, "SELECT count(*) FROM tags WHERE slug IN ('another', 'vinyl')") == 0


async def test_an_error_says_whether_it_is_of_what_was_sent_earlier(database: Database, session: AsyncSession) -> None:
    tag = await a_tag(session)
    taken = INSERT_TAG.values(name=tag.name, slug="another")
    async with database.transaction() as writing:
        driver = await driver_of(writing)
        with pytest.raises(IntegrityError):
            await driver.execute(INSERT_TAG.recorded, **taken)
        assert not driver.failed_earlier
        await undo(writing)
    async with database.transaction() as writing:
        driver = await driver_of(writing)
        await driver.send(INSERT_TAG.recorded, **taken)
        with pytest.raises(IntegrityError):
            await driver.fetch(SELECT_TAGS, first=MAX_ID)
        assert driver.failed_earlier
        await undo(writing)


@pytest.mark.parametrize("goes_on_by", ["the driver", "the session", "nothing"])
async def test_nothing_is_committed_where_the_error_of_what_was_sent_earlier_is_taken_for_another(
    database: Database, session: AsyncSession, goes_on_by: str
) -> None:
    """What waited behind the statement that failed is lost: only a part would be committed."""
    tag = await a_tag(session)
    first, *_, last = MADE

    async def work() -> None:
        async with database.transaction() as writing:
            driver = await driver_of(writing)
            await driver.execute(INSERT_TAG.recorded, **first)
            await driver.send(INSERT_TAG.recorded, **INSERT_TAG.values(name=tag.name, slug="another"))
            await driver.send(INSERT_TAG.recorded, **last)
            with suppress(IntegrityError):
                await driver.execute(INSERT_TAG.recorded, **INSERT_TAG.values(name="Own", slug="own"))
            if goes_on_by == "the driver":
                await driver.execute(DELETE_MADE)
            elif goes_on_by == "the session":
                await writing.exec(select(Tag))

    with pytest.raises(RuntimeError, match="roll the transaction back"):
        await work()
    assert await made(session) == 0


async def test_the_number_of_changed_rows_is_that_of_the_last_statement(database: Database) -> None:
    async with database.transaction() as session:
        driver = await driver_of(session)
        for row in MADE:
            await driver.send(INSERT_TAG.recorded, **row)
        assert await driver.execute(DELETE_MADE) == 3


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> list[Callable[..., Any]]:
    """What SQLite's thread was asked to do."""
    taken: list[Callable[..., Any]] = []

    async def counted(driver: Any, function: Callable[..., Any]) -> None:
        taken.append(function)
        await run_in_thread(driver, function)

    monkeypatch.setattr(sqlite, "run_in_thread", counted)
    return taken


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_the_thread_of_sqlite_has_one_turn_for_all_that_waits(
    database: Database, turns: list[Callable[..., Any]]
) -> None:
    """Each turn wakes a thread, which then waits for Python's lock: as dear as several statements."""
    async with database.transaction() as session:
        driver = await driver_of(session)
        for row in MADE:
            await driver.send(INSERT_TAG.recorded, **row)
        assert turns == []
        await driver.fetch(SELECT_TAGS, first=MAX_ID)
        assert len(turns) == 1, "BEGIN, three rows, and what was asked for"
        for _ in range(3):
            await driver.send(DELETE_MADE)
    assert len(turns) == 2, "all that was sent, and COMMIT"


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_a_batch_that_is_given_up_is_not_committed(database: Database, session: AsyncSession) -> None:
    """An interrupt that comes between two statements is lost; the rest of the batch, and its COMMIT, were run."""

    async def work(number: int) -> None:
        async with database.transaction() as writing:
            driver = await driver_of(writing)
            await driver.execute(INSERT_TAG.recorded, **INSERT_TAG.values(name=f"Tag {number}", slug=f"made-{number}"))
            for _ in range(20_000):
                await driver.send(SELECT_ONE)
            waiting.set()

    given_up = 0
    for number in range(15):
        waiting = asyncio.Event()
        task = asyncio.create_task(work(number))
        await waiting.wait()
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        given_up += task.cancelled()
    assert given_up > 5
    assert await made(session) == 15 - given_up


@pytest.fixture
def packets(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is sent to MariaDB."""
    sent: list[str] = []
    execute = aiomysql.Cursor.execute

    async def noted(cursor: Any, query: str, *values: Any) -> Any:
        sent.append(query)
        return await execute(cursor, query, *values)

    monkeypatch.setattr(aiomysql.Cursor, "execute", noted)
    return sent


@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
class TestPackets:
    async def test_one_has_all_that_waits(self, database: Database, packets: list[str]) -> None:
        async with database.transaction() as session:
            driver = await driver_of(session)
            await driver.fetch(SELECT_TAGS, first=MAX_ID)  # on a new connection, after what sets it up
            packets.clear()
            for row in MADE:
                await driver.send(INSERT_TAG.recorded, **row)
            await driver.send(DELETE_MADE)
        assert [each.count("; ") for each in packets] == [4], "the rows, their end, and COMMIT"

    async def test_none_is_longer_than_a_server_takes(
        self, database: Database, packets: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Such as where an import sends many long texts."""
        monkeypatch.setattr(mysql, "MAX_BATCH", 500)
        async with database.transaction() as session:
            driver = await driver_of(session)
            await driver.fetch(SELECT_TAGS, first=MAX_ID)
            packets.clear()
            for row in MADE:
                await driver.send(INSERT_TAG.recorded, **row)
            assert await driver.execute(DELETE_MADE) == 3
        assert 2 < len(packets) < 5
        assert max(map(len, packets)) <= 500
