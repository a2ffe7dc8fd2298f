"""The engine: its pool, and how each connection is set up."""

import asyncio
import logging
import threading
from typing import Any

import pytest
from sqlalchemy import NullPool, QueuePool, make_url
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api.database.sessions import Database
from api.settings import Environment, PoolMode, Settings
from tests.database.support import OpenDatabase, value_of
from tests.databases import Backend
from tests.support import ping

EXPECTED: dict[str, dict[str, Any]] = {
    "sqlite": {
        "PRAGMA journal_mode": "wal",
        "PRAGMA synchronous": 2,  # FULL
        "PRAGMA foreign_keys": 1,
        "PRAGMA busy_timeout": 3_000,
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
        # The name depends on the version.
        "SHOW SESSION VARIABLES WHERE variable_name IN ('tx_isolation', 'transaction_isolation')": "READ-COMMITTED",
    },
}
"""What statements answer on a connection that is set up right."""


class TestConnection:
    async def test_every_connection_is_set_up_for_its_database(self, database: Database, backend: Backend) -> None:
        async with database.reads() as reads, database.writes() as writes:
            for session in (reads, writes):
                answers = {statement: await value_of(session, statement) for statement in EXPECTED[backend.name]}
                assert answers == EXPECTED[backend.name]

    @pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
    async def test_the_options_of_a_url_are_kept_beside_those_of_the_shop(
        self, open_database: OpenDatabase, settings: Settings
    ) -> None:
        options = {"options": "-c search_path=pg_catalog -c lock_timeout=7s"}
        url = make_url(settings.database_url).update_query_dict(options).render_as_string(hide_password=False)
        async with open_database(database_url=url) as database, database.reads() as session:
            assert await value_of(session, "SHOW search_path") == "pg_catalog"
            for name, limit in EXPECTED["postgresql"].items():
                assert await value_of(session, name) == limit

    async def test_production_logs_no_values_of_statements(self, open_database: OpenDatabase) -> None:
        in_production = {
            "environment": Environment.PRODUCTION,
            "allowed_hosts": ["a.example"],
            "forwarded_allow_ips": [],
        }
        async with open_database(**in_production) as database:
            assert database.engine.sync_engine.hide_parameters

    async def test_a_ping_without_a_database_fails(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        missing = tmp_path_factory.mktemp("empty") / "no-folder" / "shop.db"
        database = Database(Settings(_env_file=None, database_url=f"sqlite:///{missing}"))
        before = threading.enumerate()
        with pytest.raises(Exception, match="unable to open database file"):
            await ping(database)
        await database.close()
        for each in set(threading.enumerate()).difference(before):
            # aiosqlite's thread still tells the event loop, which may end with this test
            await asyncio.to_thread(each.join, 30)


class TestPool:
    async def test_the_pool_follows_the_settings(self, open_database: OpenDatabase) -> None:
        async with open_database(
            database_pool_size=3,
            database_pool_timeout=1.5,
            database_pool_recycle=60,
        ) as database:
            pool = database.engine.sync_engine.pool
            assert isinstance(pool, QueuePool)
            assert (pool.size(), pool._timeout, pool._recycle) == (3, 1.5, 60)

    async def test_the_default_pool_fits_a_small_hosted_database(self, open_database: OpenDatabase) -> None:
        async with open_database() as database:
            pool = database.engine.sync_engine.pool
            assert isinstance(pool, QueuePool)
            assert 2 * pool.size() <= 20 - 2, "two workers, a release and a console exceed twenty connections"

    async def test_no_more_connections_are_opened_than_allowed(self, open_database: OpenDatabase) -> None:
        async with (
            open_database(database_pool_size=1, database_pool_timeout=0.1) as database,
            database.engine.connect(),
        ):
            with pytest.raises(PoolTimeout):
                await ping(database)

    async def test_no_connection_is_kept_without_a_pool(self, open_database: OpenDatabase) -> None:
        async with open_database(database_pool=PoolMode.NONE) as database:
            assert isinstance(database.engine.pool, NullPool)
            async with database.engine.connect() as connection:
                first = (await connection.get_raw_connection()).driver_connection
            async with database.engine.connect() as connection:
                assert (await connection.get_raw_connection()).driver_connection is not first

    @pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
    async def test_no_setting_outlives_a_transaction_behind_pgbouncer(self, open_database: OpenDatabase) -> None:
        async with open_database(database_pool=PoolMode.NONE) as database:
            async with database.writes() as session, session.begin():
                for name, limit in EXPECTED["postgresql"].items():
                    assert await value_of(session, name) == limit
            async with database.engine.connect() as connection:
                driver = (await connection.get_raw_connection()).driver_connection
                assert driver is not None
                assert driver.prepare_threshold is None
                sent = await connection.exec_driver_sql("SELECT name FROM pg_settings WHERE source = 'client'")
                assert not [name for name in sent.scalars() if name.endswith("timeout")]

    async def test_the_events_of_the_pool_are_logged_at_debug_level(
        self, open_database: OpenDatabase, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, "api.database")
        async with open_database() as database:
            await ping(database)
        messages = [record.getMessage() for record in caplog.records if record.name == "api.database.engine"]
        assert [message.split(",")[0] for message in messages] == [
            "pool: connect",
            "pool: checkout",
            "pool: checkin",
            "pool: close",
        ]
