"""Servers that allow few connections: requests wait for one, and are refused with 503 where none becomes free."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from secrets import token_hex
from time import monotonic
from typing import Any

import pytest
from httpx import AsyncClient
from sqlalchemy import URL, make_url

from api.database.inspection import inspect
from api.database.session_settings import CONNECT_TIMEOUT
from api.database.sessions import Database
from api.main import create_app
from api.settings import PoolMode, Settings
from tests.apps import running
from tests.databases import Backend, ask
from tests.support import assert_refused, ping
from tests.web.support import second_process, settled_process

LIMIT = 2

USERS = {
    "postgresql": (
        f"CREATE ROLE {{user}} LOGIN PASSWORD 'secret' CONNECTION LIMIT {LIMIT}",
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO {user}",
        "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {user}",
    ),
    "mariadb": (
        f"CREATE USER {{user}} IDENTIFIED BY 'secret' WITH MAX_USER_CONNECTIONS {LIMIT}",
        "GRANT ALL ON {database}.* TO {user}",
    ),
}
DROP = {"postgresql": ("DROP OWNED BY {user}", "DROP ROLE {user}"), "mariadb": ("DROP USER {user}",)}


@pytest.fixture
def limited(server_backend: Backend, settings: Settings) -> Iterator[dict[str, Any]]:
    """Settings of a user who may have two connections."""
    server = make_url(settings.database_url)
    user = f"limited_{token_hex(4)}"
    for statement in USERS[server_backend.name]:
        ask(server, statement.format(user=user, database=server.database))
    try:
        yield {"database_url": _written(server.set(username=user, password="secret"))}
    finally:
        for statement in DROP[server_backend.name]:
            ask(server, statement.format(user=user))


def _written(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def process_with(changes: dict[str, Any]) -> Any:
    """A process with these settings and no others: the database is the one of the limited user."""
    return second_process(Settings(_env_file=None, **changes))


@asynccontextmanager
async def all_connections(limited: dict[str, Any]) -> AsyncIterator[AsyncExitStack]:
    """All connections of the user, taken by somebody else until the stack is closed."""
    async with AsyncExitStack() as stack:
        database = Database(Settings(_env_file=None, **limited))
        stack.push_async_callback(database.close)
        for _ in range(LIMIT):
            await stack.enter_async_context(database.connection())
        yield stack


@pytest.mark.usefixtures("database")
class TestLimit:
    @pytest.mark.parametrize("pool", list(PoolMode))
    async def test_more_requests_than_connections_are_all_answered(
        self, limited: dict[str, Any], as_staff: AsyncClient, pool: PoolMode
    ) -> None:
        """The pool would have more than the server gives."""
        async with settled_process(Settings(_env_file=None, **limited, database_pool=pool)) as (_, client):
            client.headers = as_staff.headers
            answers = await asyncio.gather(
                *(client.get(path) for path in ("/users/me", "/categories", "/accounts") * 2),
                *(client.post("/tags", json={"name": f"Vinyl {number}"}) for number in range(2)),
            )
        assert {answer.status_code for answer in answers} == {200, 201}

    @pytest.mark.parametrize("pool", list(PoolMode))
    async def test_a_request_waits_for_a_connection_that_another_process_has(
        self, limited: dict[str, Any], as_staff: AsyncClient, pool: PoolMode
    ) -> None:
        async with (
            all_connections(limited) as taken,
            process_with(limited | {"database_pool": pool}) as (_, client),
        ):
            client.headers = as_staff.headers
            waiting = asyncio.gather(client.get("/users/me"), client.post("/tags", json={"name": "Vinyl"}))
            await asyncio.sleep(0.8)
            assert not waiting.done()
            await taken.aclose()
            assert [answer.status_code for answer in await waiting] == [200, 201]

    @pytest.mark.parametrize("pool", list(PoolMode))
    async def test_a_request_that_waits_in_vain_is_a_503(
        self, limited: dict[str, Any], as_staff: AsyncClient, pool: PoolMode
    ) -> None:
        changes = limited | {"database_pool": pool, "database_pool_timeout": 1}
        async with all_connections(limited), process_with(changes) as (_, client):
            client.headers = as_staff.headers
            began = monotonic()
            refused = await asyncio.gather(
                client.get("/users/me"),
                client.get("/health/ready"),
                client.post("/tags", json={"name": "Vinyl"}),
                client.get("/categories"),
            )
            took = monotonic() - began
        for each in refused:
            assert_refused(each, 503, "The database has no connection left")
            assert int(each.headers["Retry-After"]) > 0
        assert 1 <= took < 3

    async def test_a_session_waits_as_well(self, limited: dict[str, Any]) -> None:
        """Not only the driver's own connections."""
        async with all_connections(limited) as taken, process_with(limited) as (database, _):
            waiting = asyncio.create_task(ping(database))
            await asyncio.sleep(0.5)
            assert not waiting.done()
            await taken.aclose()
            await waiting


class TestWarning:
    async def test_the_start_says_where_all_processes_may_open_more_than_the_server_allows(
        self, limited: dict[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING, "api")
        settings = Settings(_env_file=None, **limited, database_pool_size=3, web_concurrency=2)
        async with running(settings) as app:
            while not caplog.messages:  # noqa: ASYNC110 - it is said beside the first requests
                await asyncio.sleep(0.01)
            assert app is not None
        (line,) = caplog.messages
        assert line.startswith("2 processes (WEB_CONCURRENCY) with 3 connections each (DATABASE_POOL_SIZE) may open 6")
        assert "the database allows 2:" in line
        assert "\n" not in line

    async def test_nothing_is_said_where_they_fit(self, database: Database, settings: Settings) -> None:
        assert await inspect(database, settings) == []

    async def test_a_database_limit_counts_too(self, server_backend: Backend, settings: Settings) -> None:
        if server_backend.name == "mariadb":
            pytest.skip("MariaDB limits users, not databases")
        url = make_url(settings.database_url)
        ask(url, f"ALTER DATABASE {url.database} CONNECTION LIMIT 5")
        try:
            database = Database(settings)
            (line,) = await inspect(database, settings)
            await database.close()
        finally:
            ask(url, f"ALTER DATABASE {url.database} CONNECTION LIMIT -1")
        assert "may open 8, and the database allows 5" in line

    async def test_a_database_that_is_down_neither_delays_nor_prevents_the_start(
        self, settings: Settings, caplog: pytest.LogCaptureFixture
    ) -> None:
        """An address that answers nothing, not even by a refusal."""
        if settings.database.get_backend_name() == "sqlite":
            pytest.skip("SQLite has no server")
        caplog.set_level(logging.WARNING, "api")
        silent = Settings(_env_file=None, database_url=_written(make_url(settings.database_url).set(host="192.0.2.1")))
        app = create_app(silent)
        began = monotonic()
        async with app.router.lifespan_context(app):
            took = monotonic() - began
        assert took < CONNECT_TIMEOUT - 1, f"the start took {took:.1f} s"
