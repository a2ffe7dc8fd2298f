"""The engine: its pool, what each connection is set to, and what a read and a write are to the database."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import NullPool, QueuePool, make_url
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.tag import Tag
from api.settings import Environment, Pool, Settings
from tests.databases import Backend

Open = Callable[..., Any]

EXPECTED: dict[str, dict[str, Any]] = {
    "sqlite": {
        "PRAGMA journal_mode": "wal",
        "PRAGMA synchronous": 2,  # FULL
        "PRAGMA foreign_keys": 1,
        "PRAGMA busy_timeout": 3_000,
        "SELECT lower('ÉCOLE')": "école",
    },
    "postgresql": {
        "SHOW lock_timeout": "3s",
        "SHOW statement_timeout": "10s",
        "SHOW idle_in_transaction_session_timeout": "15s",
        "SHOW transaction_isolation": "read committed",
    },
    "mariadb": {
        "SELECT @@innodb_lock_wait_timeout": 3,
        "SELECT @@time_zone": "+00:00",
        "SELECT @@character_set_connection": "utf8mb4",
        "SELECT FIND_IN_SET('STRICT_ALL_TABLES', @@sql_mode) > 0": 1,
        # Some versions call it the one, some the other.
        "SHOW SESSION VARIABLES WHERE variable_name IN ('tx_isolation', 'transaction_isolation')": "READ-COMMITTED",
    },
}


@pytest.fixture
def open_database(settings: Settings) -> Open:
    """Open the same database once more, with other settings."""

    @asynccontextmanager
    async def open_database(**changes: Any) -> AsyncIterator[Database]:
        database = Database(Settings(_env_file=None, **{"database_url": settings.database_url, **changes}))
        try:
            yield database
        finally:
            await database.close()

    return open_database


async def answer(session: AsyncSession, statement: str) -> Any:
    connection = await session.connection()
    return (await connection.exec_driver_sql(statement)).one()[-1]


async def is_in_transaction(session: AsyncSession, backend: Backend) -> bool:
    """Ask the driver, or the server where the driver does not know."""
    connection = await session.connection()
    driver: Any = (await connection.get_raw_connection()).driver_connection
    if backend.name == "sqlite":
        return bool(driver.in_transaction)
    if backend.name == "postgresql":
        return bool(driver.info.transaction_status)  # IDLE is zero
    return bool(driver.get_transaction_status())


async def names(database: Database) -> set[str]:
    async with database.reads() as session:
        return set((await session.exec(select(Tag.name))).all())


async def test_every_connection_is_set_up_as_its_database_needs(database: Database, backend: Backend) -> None:
    async with database.reads() as reads, database.writes() as writes:
        for session in (reads, writes):
            answers = {statement: await answer(session, statement) for statement in EXPECTED[backend.name]}
            assert answers == EXPECTED[backend.name]


async def test_a_read_opens_no_transaction(database: Database, backend: Backend) -> None:
    async with database.reads() as session:
        await session.exec(select(Tag))
        assert not await is_in_transaction(session, backend)


async def test_a_read_sees_what_was_committed_since_it_last_looked(database: Database) -> None:
    async with database.reads() as reads:
        assert (await reads.exec(select(Tag.name))).all() == []
        async with database.writes() as writes, writes.begin():
            writes.add(Tag(name="New", slug="new"))
        assert (await reads.exec(select(Tag.name))).all() == ["New"]


async def test_a_write_is_one_transaction(database: Database, backend: Backend) -> None:
    async with database.writes() as session, session.begin():
        session.add(Tag(name="First", slug="first"))
        await session.flush()
        assert await is_in_transaction(session, backend)
        session.add(Tag(name="Second", slug="second"))
        await session.flush()
        assert await names(database) == set()
    assert await names(database) == {"First", "Second"}


async def test_a_write_that_fails_leaves_nothing(database: Database) -> None:
    async def fail() -> None:
        async with database.writes() as session, session.begin():
            session.add(Tag(name="First", slug="first"))
            await session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await names(database) == set()


async def test_a_savepoint_is_undone_by_itself(database: Database) -> None:
    async with database.writes() as session, session.begin():
        session.add(Tag(name="Kept", slug="kept"))
        savepoint = await session.begin_nested()
        session.add(Tag(name="Undone", slug="undone"))
        await session.flush()
        await savepoint.rollback()
    assert await names(database) == {"Kept"}


async def test_writes_at_once_wait_for_each_other(database: Database) -> None:
    """A deferred BEGIN on SQLite would fail at once, with "database is locked"."""
    async with database.writes() as session, session.begin():
        tag = Tag(name="0", slug="counter")
        session.add(tag)

    async def count_up() -> None:
        async with database.writes() as session, session.begin():
            found = (await session.exec(select(Tag).where(col(Tag.id) == tag.id).with_for_update())).one()
            await asyncio.sleep(0.01)
            found.name = str(int(found.name) + 1)

    await asyncio.gather(*(count_up() for _ in range(10)))
    assert await names(database) == {"10"}


async def test_the_pool_is_as_the_settings_say(open_database: Open, backend: Backend) -> None:
    async with open_database(
        database_pool_size=3,
        database_max_overflow=4,
        database_pool_timeout=1.5,
        database_pool_recycle=60,
        database_pool_pre_ping=True,
    ) as database:
        pool = database.engine.sync_engine.pool
        assert isinstance(pool, QueuePool)
        assert (pool.size(), pool._max_overflow, pool._timeout, pool._recycle) == (3, 4, 1.5, 60)
        assert pool._pre_ping == (backend.name != "sqlite")  # a file does not hang up


async def test_the_pool_is_larger_where_writes_can_happen_at_once(open_database: Open, backend: Backend) -> None:
    async with open_database() as database:
        pool = database.engine.sync_engine.pool
        assert (pool.size(), pool._max_overflow) == ((5, 15) if backend.name == "sqlite" else (10, 20))


async def test_no_more_connections_are_opened_than_allowed(open_database: Open) -> None:
    async with (
        open_database(database_pool_size=1, database_max_overflow=0, database_pool_timeout=0.1) as database,
        database.engine.connect(),
    ):
        with pytest.raises(PoolTimeout):
            await database.ping()


async def test_without_a_pool_connections_are_not_kept(open_database: Open) -> None:
    async with open_database(database_pool=Pool.NONE) as database:
        assert isinstance(database.engine.pool, NullPool)
        async with database.engine.connect() as connection:
            first = (await connection.get_raw_connection()).driver_connection
        async with database.engine.connect() as connection:
            assert (await connection.get_raw_connection()).driver_connection is not first


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_options_of_a_url_count_beside_the_shops_own(open_database: Open, settings: Settings) -> None:
    options = {"options": "-c search_path=pg_catalog -c lock_timeout=7s"}
    url = make_url(settings.database_url).update_query_dict(options).render_as_string(hide_password=False)
    async with open_database(database_url=url) as database, database.reads() as session:
        assert await answer(session, "SHOW search_path") == "pg_catalog"
        for name, limit in EXPECTED["postgresql"].items():
            assert await answer(session, name) == limit


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_behind_pgbouncer_nothing_outlives_a_transaction(open_database: Open) -> None:
    async with open_database(database_pool=Pool.NONE) as database:
        async with database.writes() as session, session.begin():
            for name, limit in EXPECTED["postgresql"].items():
                assert await answer(session, name) == limit
        async with database.engine.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None
            assert driver.prepare_threshold is None
            sent = await connection.exec_driver_sql("SELECT name FROM pg_settings WHERE source = 'client'")
            assert not [name for name in sent.scalars() if name.endswith("timeout")]


async def test_what_the_pool_does_is_logged_for_whoever_debugs(
    open_database: Open, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "api.database")
    async with open_database() as database:
        await database.ping()
    messages = [record.getMessage() for record in caplog.records if record.name == "api.database"]
    assert [message.split(",")[0] for message in messages] == [
        "pool: connect",
        "pool: checkout",
        "pool: checkin",
        "pool: close",
    ]


async def test_production_logs_no_values(open_database: Open) -> None:
    in_production = {"environment": Environment.PRODUCTION, "allowed_hosts": ["a.example"], "forwarded_allow_ips": []}
    async with open_database(**in_production) as database:
        assert database.engine.sync_engine.hide_parameters


async def test_a_ping_fails_where_there_is_no_database(tmp_path_factory: pytest.TempPathFactory) -> None:
    nowhere = tmp_path_factory.mktemp("empty") / "missing" / "shop.db"
    database = Database(Settings(_env_file=None, database_url=f"sqlite:///{nowhere}"))
    with pytest.raises(Exception, match="unable to open database file"):
        await database.ping()
    await database.close()
