"""Statements through libpq: prepared once, and several in one round trip."""

import pytest
from sqlalchemy.exc import DBAPIError
from sqlmodel import Integer, String, bindparam, cast, col, select, text

from api.database import libpq
from api.database.connections import driver_of
from api.database.drivers import DriverConnection
from api.database.sessions import Database
from api.database.statements import Insertion, Statement
from api.database.transactions import undo
from api.models.tag import Tag
from api.models.types import MAX_ID
from tests.database.support import OpenDatabase
from tests.databases import Backend

PREPARED = Statement(text("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%tags%'"))
SELECT_TAGS = Statement(select(col(Tag.name)).where(col(Tag.id) >= bindparam("first")))
INSERT_TAG = Insertion(Tag)


@pytest.fixture(autouse=True)
def only_postgresql(backend: Backend) -> None:
    if backend.name != "postgresql":
        pytest.skip("the other drivers have no libpq")


async def tags_prepared(driver: DriverConnection) -> int:
    ((number,),) = await driver.fetch(PREPARED)
    return int(number)


class TestPreparation:
    async def test_a_statement_is_prepared_at_its_first_run_and_once(self, database: Database) -> None:
        async with database.connection() as driver:
            before = await tags_prepared(driver)
            for _ in range(3):
                assert list(await driver.fetch(SELECT_TAGS, first=MAX_ID)) == []
            assert await tags_prepared(driver) == before + 1

    async def test_it_stays_prepared_when_a_session_rolls_back(self, open_database: OpenDatabase) -> None:
        """Psycopg would take back everything that is prepared on the connection."""
        async with open_database(database_pool_size=1) as database:
            async with database.connection() as driver:
                await driver.fetch(SELECT_TAGS, first=MAX_ID)
                before = await tags_prepared(driver)
            async with database.writes() as session:
                await session.exec(select(Tag))
                await session.rollback()
            async with database.connection() as driver:
                assert await tags_prepared(driver) == before + 1, "that of the session, which psycopg prepared"
                assert list(await driver.fetch(SELECT_TAGS, first=MAX_ID)) == []

    async def test_statements_beyond_the_limit_take_the_place_of_those_not_run_for_longest(
        self, open_database: OpenDatabase, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(libpq, "MAX_PREPARED", 4)
        numbered = [Statement(select(col(Tag.name)).where(col(Tag.id) == number)) for number in range(10)]
        async with open_database(database_pool_size=1) as database, database.connection() as driver:
            for _ in range(2):
                for each in numbered:
                    assert list(await driver.fetch(each)) == []
                    assert list(await driver.fetch(SELECT_TAGS, first=MAX_ID)) == []
            assert await tags_prepared(driver) <= 5

    async def test_a_pool_that_is_shared_prepares_nothing(self, open_database: OpenDatabase) -> None:
        async with open_database(database_pool="none") as database, database.connection() as driver:
            for _ in range(3):
                assert list(await driver.fetch(SELECT_TAGS, first=MAX_ID)) == []
            assert await tags_prepared(driver) == 0


class TestPipeline:
    async def test_what_a_failed_statement_kept_from_being_prepared_is_prepared_later(
        self, open_database: OpenDatabase
    ) -> None:
        wrong = Statement(text("SELECT nothing FROM nowhere"))
        async with open_database(database_pool_size=1) as database:
            async with database.transaction() as session:
                driver = await driver_of(session)
                await driver.send(wrong)
                with pytest.raises(DBAPIError):
                    await driver.fetch(SELECT_TAGS, first=MAX_ID)
                await undo(session)
            async with database.connection() as driver:
                assert list(await driver.fetch(SELECT_TAGS, first=MAX_ID)) == []

    async def test_a_connection_answers_after_an_error_in_autocommit(self, database: Database) -> None:
        async with database.connection() as driver:
            for _ in range(2):
                with pytest.raises(DBAPIError):
                    await driver.run("SELECT 1 / 0")
                assert list(await driver.fetch(SELECT_TAGS, first=MAX_ID)) == []

    async def test_statements_and_answers_that_fill_all_buffers_do_not_block_each_other(
        self, database: Database
    ) -> None:
        """The server writes answers while the client still writes statements."""
        echo = Statement(select(cast(bindparam("sent", type_=String), String), bindparam("number", type_=Integer)))
        long = "é" * 1_000_000
        async with database.transaction() as session:
            driver = await driver_of(session)
            for number in range(30):
                await driver.send(echo, sent=long, number=number)
            ((sent, number),) = await driver.fetch(echo, sent=long, number=30)
        assert (sent, number) == (long, 30)
