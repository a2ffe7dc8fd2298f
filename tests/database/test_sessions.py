"""The sessions: a read is in autocommit, and a write is one transaction."""

import asyncio
from typing import Any

import pytest
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.tag import Tag
from tests.databases import Backend
from tests.factories import a_tag
from tests.support import count_statements


async def is_in_transaction(session: AsyncSession, backend: Backend) -> bool:
    """Ask the driver or, where the driver does not know, the server."""
    connection = await session.connection()
    driver: Any = (await connection.get_raw_connection()).driver_connection
    if backend.name == "sqlite":
        return bool(driver.in_transaction)
    if backend.name == "postgresql":
        return bool(driver.info.transaction_status)  # IDLE is zero
    return bool(driver.get_transaction_status())


async def tag_names(database: Database) -> set[str]:
    """The names of all tags, as another connection sees them."""
    async with database.reads() as session:
        return set((await session.exec(select(Tag.name))).all())


class TestReads:
    async def test_a_read_opens_no_transaction(self, database: Database, backend: Backend) -> None:
        async with database.reads() as session:
            await session.exec(select(Tag))
            assert not await is_in_transaction(session, backend)

    async def test_a_read_sees_rows_that_were_committed_after_the_previous_read(self, database: Database) -> None:
        async with database.reads() as reads:
            assert (await reads.exec(select(Tag.name))).all() == []
            async with database.writes() as writes, writes.begin():
                writes.add(Tag(name="New", slug="new"))
            assert (await reads.exec(select(Tag.name))).all() == ["New"]


class TestWrites:
    async def test_a_write_is_one_transaction(self, database: Database, backend: Backend) -> None:
        async with database.writes() as session, session.begin():
            session.add(Tag(name="First", slug="first"))
            await session.flush()
            assert await is_in_transaction(session, backend)
            session.add(Tag(name="Second", slug="second"))
            await session.flush()
            assert await tag_names(database) == set()
        assert await tag_names(database) == {"First", "Second"}

    async def test_a_write_that_fails_leaves_no_row(self, database: Database) -> None:
        async def fail() -> None:
            async with database.writes() as session, session.begin():
                session.add(Tag(name="First", slug="first"))
                await session.flush()
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        assert await tag_names(database) == set()

    async def test_a_savepoint_is_rolled_back_without_its_transaction(self, database: Database) -> None:
        async with database.writes() as session, session.begin():
            session.add(Tag(name="Kept", slug="kept"))
            savepoint = await session.begin_nested()
            session.add(Tag(name="Undone", slug="undone"))
            await session.flush()
            await savepoint.rollback()
        assert await tag_names(database) == {"Kept"}

    async def test_simultaneous_writes_wait_for_each_other(self, database: Database, session: AsyncSession) -> None:
        """A deferred BEGIN on SQLite would fail at once, with "database is locked"."""
        tag = await a_tag(session, "0")

        async def count_up() -> None:
            async with database.writes() as writes, writes.begin():
                found = (await writes.exec(select(Tag).where(col(Tag.id) == tag.id).with_for_update())).one()
                await asyncio.sleep(0.01)
                found.name = str(int(found.name) + 1)

        await asyncio.gather(*(count_up() for _ in range(10)))
        assert await tag_names(database) == {"10"}

    async def test_a_transaction_that_is_left_by_an_error_is_rolled_back(self, database: Database) -> None:
        async def fail() -> None:
            async with database.transaction() as session:
                session.add(Tag(name="First", slug="first"))
                await session.flush()
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        assert await tag_names(database) == set()

    async def test_many_rows_are_one_insert_and_each_gets_the_id_that_is_its_own(self, database: Database) -> None:
        tags = [Tag(name=f"Tag {number}", slug=f"tag-{number}") for number in range(200)]
        with count_statements(database) as statements:
            async with database.transaction() as session:
                session.add_all(tags)
        assert [each.startswith("INSERT INTO tags ") for each in statements].count(True) == 1
        async with database.reads() as session:
            stored = dict((await session.exec(select(Tag.id, Tag.name))).all())
        assert stored == {tag.id: tag.name for tag in tags}
