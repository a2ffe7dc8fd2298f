"""The drivers' own connections: they are used again, replaced where they broke, and tell what they run."""

import asyncio
import contextlib
import logging
import time

import pytest
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlmodel import bindparam, col, select, text, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.connections import driver_of
from api.database.sessions import Database
from api.database.sqlalchemy_internals import waiting_for
from api.database.statements import Insertion, Statement
from api.database.transactions import undo
from api.models.category import Category
from api.models.tag import Tag
from api.settings import Settings
from tests.database.support import OpenDatabase
from tests.databases import Backend
from tests.factories import a_tag
from tests.web.support import connection_id, kill

SELECT_ONE = Statement(text("SELECT 1"))
INSERT_TAG = Insertion(Tag)
SELECT_TAG = Statement(select(col(Tag.name)).where(Tag.id == bindparam("tag_id")))
SLOW = {"postgresql": "SELECT pg_sleep(10)", "mariadb": "SELECT SLEEP(10)"}


class TestPool:
    async def test_a_thousand_reads_open_no_further_connection(self, open_database: OpenDatabase) -> None:
        async with open_database() as database:
            opened: list[object] = []
            event.listen(database.engine.sync_engine, "connect", lambda connection, record: opened.append(connection))

            async def read() -> None:
                async with database.connection() as connection:
                    assert [list(row) for row in await connection.fetch(SELECT_ONE)] == [[1]]

            for _ in range(100):
                await asyncio.gather(*(read() for _ in range(10)))

            assert database.pool is not None
            assert 0 < len(opened) <= database.pool.size()
            assert database.pool.checkedout() == 0

    async def test_a_cancelled_read_gives_up_its_connection_and_no_other(
        self, open_database: OpenDatabase, backend: Backend
    ) -> None:
        """An answer may still be under way on it."""
        if backend.name == "sqlite":
            pytest.skip("SQLite has no server that could be slow")
        async with open_database() as database:
            opened: list[object] = []
            event.listen(database.engine.sync_engine, "connect", lambda connection, record: opened.append(connection))
            with pytest.raises(TimeoutError):
                async with database.connection() as connection, asyncio.timeout(0.2):
                    await connection.run(SLOW[backend.name])
            for _ in range(1_000):
                async with database.connection() as connection:
                    assert [list(row) for row in await connection.fetch(SELECT_ONE)] == [[1]]

            assert len(opened) == 2, "one for the read that was cancelled, and one for all others"

    async def test_a_connection_that_is_too_old_is_replaced_before_it_is_used(
        self, open_database: OpenDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One that is ready is taken without a greenlet, in which alone another one could be opened."""
        async with open_database(database_pool_recycle=60) as database:
            opened: list[object] = []
            event.listen(database.engine.sync_engine, "connect", lambda connection, record: opened.append(connection))
            now = time.time()
            for age, expected in ((0, 1), (50, 1), (59.5, 1), (100, 2), (200, 3)):
                monkeypatch.setattr(time, "time", lambda age=age: now + age)
                async with database.connection() as connection:
                    assert [list(row) for row in await connection.fetch(SELECT_ONE)] == [[1]]
                assert len(opened) == expected, f"after {age} seconds"

    async def test_who_waits_for_a_connection_is_counted(self, open_database: OpenDatabase) -> None:
        async with open_database(database_pool_size=1) as database:
            assert database.pool is not None

            async def read() -> None:
                async with database.connection() as connection:
                    await connection.fetch(SELECT_ONE)

            async with database.connection():
                waiting = [asyncio.create_task(read()) for _ in range(3)]
                async with asyncio.timeout(5):
                    while waiting_for(database.pool) < 3:  # noqa: ASYNC110 - the pool tells nobody
                        await asyncio.sleep(0.01)
            await asyncio.gather(*waiting)
            assert waiting_for(database.pool) == 0


class TestErrors:
    async def test_a_violation_is_what_a_session_raises(self, database: Database, session: AsyncSession) -> None:
        tag = await a_tag(session)
        async with database.connection() as connection:
            with pytest.raises(IntegrityError):
                await connection.execute(INSERT_TAG.recorded, **INSERT_TAG.values(name=tag.name, slug="another"))

    async def test_wrong_sql_is_what_a_session_raises_and_the_connection_stays(self, database: Database) -> None:
        async with database.connection() as connection:
            with pytest.raises(DBAPIError) as raised:
                await connection.run("SELECT nothing FROM nowhere")
            assert not raised.value.connection_invalidated
            assert [list(row) for row in await connection.fetch(SELECT_ONE)] == [[1]]


class TestListeners:
    async def test_statements_past_the_session_are_logged_with_their_values(
        self, open_database: OpenDatabase, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "sqlalchemy.engine")
        async with open_database(database_echo=True) as database, database.connection() as connection:
            await connection.fetch(SELECT_TAG, tag_id=4711)

        assert "4711" in caplog.text
        assert "FROM tags" in caplog.text


class TestTransaction:
    async def test_the_session_and_the_driver_see_what_the_other_wrote(
        self, database: Database, session: AsyncSession
    ) -> None:
        async with database.transaction() as write:
            write.add(Category(name="By the session", slug="by-the-session"))
            driver = await driver_of(write)
            tag_id = await driver.insert(INSERT_TAG, **INSERT_TAG.values(name="By the driver", slug="by-the-driver"))
            assert (await write.exec(select(Tag.name).where(Tag.id == tag_id))).one() == "By the driver"

        assert (await session.exec(select(Category.id).where(Category.slug == "by-the-session"))).one()
        assert (await session.exec(select(Tag.id).where(Tag.slug == "by-the-driver"))).one() == tag_id

    async def test_an_error_undoes_what_either_wrote(self, database: Database, session: AsyncSession) -> None:
        async def write_and_fail() -> None:
            async with database.transaction() as write:
                driver = await driver_of(write)
                await driver.insert(INSERT_TAG, **INSERT_TAG.values(name="By the driver", slug="by-the-driver"))
                write.add(Category(name="By the session", slug="by-the-session"))
                await write.flush()
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await write_and_fail()

        assert (await session.exec(select(Tag.id).where(Tag.slug == "by-the-driver"))).all() == []
        assert (await session.exec(select(Category.id).where(Category.slug == "by-the-session"))).all() == []

    @pytest.mark.parametrize("by_session", [False, True], ids=["by the driver", "by the session"])
    async def test_what_follows_an_undone_part_is_committed(
        self, database: Database, session: AsyncSession, by_session: bool
    ) -> None:
        async with database.transaction() as write:
            driver = await driver_of(write)
            await driver.insert(INSERT_TAG, **INSERT_TAG.values(name="Undone", slug="undone"))
            if by_session:
                write.add(Tag(name="Undone too", slug="undone-too"))
                await write.flush()
            await undo(write)
            driver = await driver_of(write)
            await driver.insert(INSERT_TAG, **INSERT_TAG.values(name="Kept", slug="kept"))

        assert (
            await session.exec(select(Tag.slug).where(col(Tag.slug).in_(["undone", "undone-too", "kept"])))
        ).all() == ["kept"]


class TestSend:
    @pytest.mark.parametrize("by_session", ["before", "after", "never"])
    async def test_what_is_sent_is_committed_beside_what_the_session_wrote(
        self, database: Database, session: AsyncSession, by_session: str
    ) -> None:
        async with database.transaction() as write:
            if by_session == "before":
                write.add(Category(name="By the session", slug="by-the-session"))
                await write.flush()
            driver = await driver_of(write)
            await driver.send(INSERT_TAG.recorded, **INSERT_TAG.values(name="Sent", slug="sent"))
            if by_session == "after":
                assert (await write.exec(select(Tag.name))).all() == ["Sent"], "the session did not see what was sent"

        assert (await session.exec(select(Tag.slug))).all() == ["sent"]

    async def test_an_error_of_what_was_sent_is_that_error(self, database: Database, session: AsyncSession) -> None:
        """And not one that says that something before it failed."""
        tag = await a_tag(session)

        async def send_a_duplicate() -> None:
            async with database.transaction() as write:
                driver = await driver_of(write)
                await driver.send(INSERT_TAG.recorded, **INSERT_TAG.values(name=tag.name, slug="another"))
                await driver.send(INSERT_TAG.recorded, **INSERT_TAG.values(name="A third", slug="third"))
                await driver.fetch(SELECT_TAG, tag_id=tag.id)

        with pytest.raises(IntegrityError):
            await send_a_duplicate()
        assert len((await session.exec(select(Tag.slug))).all()) == 1

    async def test_an_error_of_what_was_sent_last_comes_with_the_commit(
        self, database: Database, session: AsyncSession
    ) -> None:
        tag = await a_tag(session)

        async def send_a_duplicate() -> None:
            async with database.transaction() as write:
                driver = await driver_of(write)
                await driver.insert(INSERT_TAG, **INSERT_TAG.values(name="Another", slug="another"))
                await driver.send(INSERT_TAG.recorded, **INSERT_TAG.values(name=tag.name, slug="third"))

        with pytest.raises(IntegrityError):
            await send_a_duplicate()
        assert len((await session.exec(select(Tag.slug))).all()) == 1

    async def test_what_was_sent_is_undone_with_the_rest(self, database: Database, session: AsyncSession) -> None:
        async with database.transaction() as write:
            driver = await driver_of(write)
            await driver.send(INSERT_TAG.recorded, **INSERT_TAG.values(name="Undone", slug="undone"))
            await undo(write)
            driver = await driver_of(write)
            await driver.send(INSERT_TAG.recorded, **INSERT_TAG.values(name="Kept", slug="kept"))

        assert (await session.exec(select(Tag.slug))).all() == ["kept"]


class TestPipeline:
    @pytest.mark.parametrize("failing", [{2, 6}, {1, 2, 3, 6}, {5, 6, 7}], ids=str)
    async def test_a_connection_works_after_failures_of_what_was_sent(
        self, open_database: OpenDatabase, session: AsyncSession, failing: set[int]
    ) -> None:
        """Psycopg prepares a statement after some runs, and takes it for prepared where the server skipped that."""
        tag = await a_tag(session)

        async def send(number: int) -> None:
            name = tag.name if number in failing else f"Tag number {number}"
            async with database.transaction() as write:
                driver = await driver_of(write)
                await driver.send(INSERT_TAG.recorded, **INSERT_TAG.values(name=name, slug=f"number-{number}"))

        async with open_database(database_pool_size=1) as database:
            for number in range(1, 16):
                if number in failing:
                    with pytest.raises(IntegrityError):
                        await send(number)
                else:
                    await send(number)

        assert len((await session.exec(select(Tag.id))).all()) == 1 + 15 - len(failing)

    @pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
    async def test_the_commit_of_a_failed_transaction_is_an_error(
        self, database: Database, session: AsyncSession
    ) -> None:
        """PostgreSQL answers it with a rollback."""
        tag = await a_tag(session)

        async def go_on_after_a_failure() -> None:
            async with database.transaction() as write:
                driver = await driver_of(write)
                with contextlib.suppress(IntegrityError):
                    await driver.insert(INSERT_TAG, **INSERT_TAG.values(name=tag.name, slug="another"))

        with pytest.raises(RuntimeError, match="nothing was committed"):
            await go_on_after_a_failure()

    async def test_nothing_is_deferred_within_a_savepoint_of_the_session(
        self, database: Database, session: AsyncSession
    ) -> None:
        """Its end would not wait for it."""
        async with database.transaction() as write:
            savepoint = await write.begin_nested()
            driver = await driver_of(write)
            await driver.send(INSERT_TAG.recorded, **INSERT_TAG.values(name="Undone", slug="undone"))
            await savepoint.rollback()

        assert (await session.exec(select(Tag.slug))).all() == []


class TestDeadConnections:
    async def test_one_dead_connection_has_all_that_are_as_old_replaced(
        self, backend: Backend, open_database: OpenDatabase, settings: Settings
    ) -> None:
        if backend.name == "sqlite":
            pytest.skip("SQLite has no server that could end a connection")
        async with open_database() as database:
            ids: list[int] = []
            event.listen(
                database.engine.sync_engine,
                "connect",
                lambda connection, record: ids.append(connection_id(connection)),
            )
            await asyncio.gather(*(_hold_a_connection(database) for _ in range(8)))
            assert len(ids) == 8
            for each in ids:
                kill(settings, backend, each)

            async with database.reads() as read:
                with pytest.raises(DBAPIError) as raised:
                    await (await driver_of(read)).fetch(SELECT_ONE)
            assert raised.value.connection_invalidated
            async with database.reads() as read:
                assert [list(row) for row in await (await driver_of(read)).fetch(SELECT_ONE)] == [[1]]


async def _hold_a_connection(database: Database) -> None:
    async with database.connection() as connection:
        await connection.fetch(SELECT_ONE)
        await asyncio.sleep(0.2)


class TestStatements:
    def test_a_statement_without_a_value_for_a_column_is_refused(self, database: Database) -> None:
        """A session would fill in the time of the change."""
        change = Statement(update(Tag).values(name=bindparam("new_name")), recorded=True)
        with pytest.raises(TypeError, match="updated_at"):
            change.on(database.engine.dialect)

    async def test_ids_come_back_where_an_insert_cannot_return_them(
        self, database: Database, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As on MySQL."""
        if database.backend != "mysql":
            pytest.skip("the others return the id with the INSERT")
        monkeypatch.setattr(database.engine.dialect, "insert_returning", False)
        async with database.transaction() as write:
            driver = await driver_of(write)
            tag_id = await driver.insert(INSERT_TAG, **INSERT_TAG.values(name="Vinyl", slug="vinyl"))

        assert (await session.exec(select(Tag.id).where(Tag.slug == "vinyl"))).one() == tag_id
