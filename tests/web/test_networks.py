"""What networks do to pooled connections, on both event loops: asyncio's, of the tests, and uvloop, of the service."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from time import monotonic

import pytest
import uvloop
from httpx import ASGITransport, AsyncClient
from sqlalchemy import make_url

from api.database import drivers
from api.database import transactions as commits
from api.database.sessions import Database
from api.database.time_limits import CANCEL_GRACE
from api.database.transactions import ROLLBACK_TIMEOUT
from api.main import create_app
from api.settings import Settings
from api.web import transactions
from api.web.sessions import WriteSession
from tests.databases import Backend
from tests.proxy import Proxy, proxy_of
from tests.support import assert_refused
from tests.web.support import app_with, new_router, run

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
POOL_SIZE = 4
WAYS = {"in order": Proxy.close_all, "by a reset": Proxy.reset_all}


@pytest.fixture
def proxy(server_backend: Backend, settings: Settings) -> Iterator[Proxy]:
    with proxy_of(make_url(settings.database_url)) as proxy:
        yield proxy


def behind_settings(proxy: Proxy, settings: Settings) -> Settings:
    url = make_url(settings.database_url).set(host="127.0.0.1", port=proxy.port).render_as_string(hide_password=False)
    return Settings(_env_file=None, database_url=url, database_pool_size=POOL_SIZE)


@asynccontextmanager
async def behind(proxy: Proxy, settings: Settings, headers: dict[str, str]) -> AsyncIterator[AsyncClient]:
    """A client of a process of the shop whose connections go through the proxy, and are all open."""
    app = create_app(behind_settings(proxy, settings))
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=ASGITransport(app, raise_app_exceptions=False), base_url="http://test.example") as client,
    ):
        client.headers.update(headers)
        await asyncio.wait(app.state.started)
        await open_all(app.state.database)
        yield client


async def open_all(database: Database) -> None:
    held = asyncio.Barrier(POOL_SIZE)

    async def hold() -> None:
        async with database.connection():
            await held.wait()

    await asyncio.gather(*(hold() for _ in range(POOL_SIZE)))


def run_on(loop: str, work: Callable[[], Awaitable[list[int]]]) -> list[int]:
    """What some work on an event loop of that kind returns; in a thread, because the test has a loop already."""

    async def run() -> list[int]:
        return await work()

    def in_thread() -> list[int]:
        with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
            return runner.run(run())

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(in_thread).result()


@pytest.mark.parametrize("loop", LOOPS)
class TestNetworks:
    @pytest.mark.parametrize("end", WAYS.values(), ids=WAYS)
    def test_connections_that_end_are_replaced_and_no_request_notices(
        self, proxy: Proxy, settings: Settings, as_staff: AsyncClient, loop: str, end: Callable[[Proxy], None]
    ) -> None:
        headers = {"Authorization": as_staff.headers["Authorization"]}

        async def work() -> list[int]:
            statuses = []
            async with behind(proxy, settings, headers) as client:
                for number in range(3):
                    end(proxy)
                    await asyncio.sleep(0.05)
                    statuses.append((await client.get("/categories")).status_code)
                    end(proxy)
                    statuses.append((await client.post("/tags", json={"name": f"Vinyl {number}"})).status_code)
            return statuses

        assert run_on(loop, work) == [200, 201] * 3

    def test_silent_connections_cost_one_request_its_deadline_and_are_all_replaced_then(
        self,
        proxy: Proxy,
        settings: Settings,
        as_staff: AsyncClient,
        loop: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(transactions, "REQUEST_DEADLINE", 1.0)
        monkeypatch.setattr(drivers, "LONGEST_SILENCE", 0.5)
        headers = {"Authorization": as_staff.headers["Authorization"]}

        async def work() -> list[int]:
            async with behind(proxy, settings, headers) as client:
                proxy.silence_all()
                began = monotonic()
                late = await client.get("/categories")
                assert monotonic() - began < 1.0 + CANCEL_GRACE + 4
                later = [await client.get("/categories") for _ in range(POOL_SIZE)]
                written = await client.post("/tags", json={"name": "Vinyl"})
            return [answer.status_code for answer in (late, *later, written)]

        assert run_on(loop, work) == [503, *[200] * POOL_SIZE, 201]

    def test_a_commit_on_a_silent_connection_is_refused_in_time(
        self, proxy: Proxy, settings: Settings, loop: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(commits, "COMMIT_TIMEOUT", 0.5)
        router = new_router()

        @router.post("/")
        async def write(session: WriteSession) -> None:
            await run(session, "DELETE FROM attempts")
            proxy.silence_all()

        async def work() -> list[int]:
            database = Database(behind_settings(proxy, settings))
            try:
                async with app_with(database, router) as client:
                    began = monotonic()
                    answer = await client.post("/")
                    assert monotonic() - began < 0.5 + CANCEL_GRACE + ROLLBACK_TIMEOUT + 4
            finally:
                await database.close()
            assert_refused(answer, 503, "did not confirm the change")
            return [answer.status_code]

        assert run_on(loop, work) == [503]
