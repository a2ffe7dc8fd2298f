"""A database that is switched to read-only, restarted, or tired of idle sessions, under the Procfile's command.

uvicorn runs it on uvloop, unlike the tests of `tests/web/`.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import httpx
import psycopg
import pytest
from sqlalchemy import URL, make_url

from tests.databases import ask
from tests.faults.servers import KILLABLE, Mariadb, Postgresql
from tests.faults.service import running
from tests.faults.shop import a_look_into, sign_in

pytestmark = pytest.mark.faults

SWITCH = {
    "postgresql": ("ALTER SYSTEM SET default_transaction_read_only = {}", "SELECT pg_reload_conf()"),
    "mariadb": ("SET GLOBAL read_only = {}",),
}
END_IDLE_SESSIONS = {
    "postgresql": ("ALTER SYSTEM SET idle_session_timeout = '1s'", "SELECT pg_reload_conf()"),
    "mariadb": ("SET GLOBAL wait_timeout = 1",),
}

servers = pytest.mark.parametrize("name", ["postgresql", "mariadb"])


@contextmanager
def own_server(name: str) -> Iterator[tuple[Postgresql | Mariadb, URL, str]]:
    """A server, its URL for the one who runs it, and the URL of an ordinary user, whom `read_only` concerns."""
    with KILLABLE[name]() as server:
        assert isinstance(server, Postgresql | Mariadb)
        url = make_url(server.url)
        if name == "postgresql":
            yield server, url, server.url
            return
        ask(url, "CREATE USER shop IDENTIFIED BY 'secret'")
        ask(url, "GRANT ALL ON shop.* TO shop")
        yield server, url, url.set(username="shop", password="secret").render_as_string(hide_password=False)


@servers
def test_a_failover_refuses_writes_for_as_long_as_it_lasts(name: str, tmp_path: Path) -> None:
    with own_server(name) as (_, admin, url), running(url, tmp_path) as service:
        with httpx.Client(base_url=service.url, headers=asyncio.run(staff_of(url)), timeout=20) as client:
            assert client.post("/tags", json={"name": "Before"}).status_code == 201
            switch(name, admin, "ON")
            for number in range(10):
                refused = client.post("/tags", json={"name": f"During {number}"})
                assert refused.status_code == 503, refused.text
                assert "takes no changes at present" in refused.text
                assert client.get("/users/me").status_code == 200
                assert client.get("/products").status_code == 200
            switch(name, admin, "OFF")
            written = [client.post("/tags", json={"name": f"After {number}"}).status_code for number in range(20)]
        assert written == [201] * 20
        assert "Exception in ASGI application" not in service.log.read_text()


async def staff_of(url: str) -> dict[str, str]:
    """The headers of a staff user."""
    async with a_look_into(url) as session:
        (staff,) = await sign_in(session, 1)
    return staff.headers


def switch(name: str, admin: URL, value: str) -> None:
    """ALTER SYSTEM changes no table, so a read-only session may run it; root is not concerned by `read_only`.

    PostgreSQL's sessions read their settings later, so one that was open before is asked until it has.
    """
    with earlier_session(name, admin) as session:
        for statement in SWITCH[name]:
            ask(admin, statement.format(value))
        deadline = monotonic() + 30
        while session and session.execute("SHOW default_transaction_read_only").fetchone() != (value.lower(),):
            assert monotonic() < deadline, "the session did not read its settings again"
            sleep(0.05)


@contextmanager
def earlier_session(name: str, admin: URL) -> Iterator["psycopg.Connection | None"]:
    """A session of PostgreSQL; what is set in MariaDB holds at once in all of its own."""
    if name != "postgresql":
        yield None
        return
    with psycopg.connect(admin.render_as_string(hide_password=False), autocommit=True) as session:
        yield session


@servers
def test_no_request_notices_a_restart_or_the_end_of_idle_sessions(name: str, tmp_path: Path) -> None:
    with own_server(name) as (server, admin, url), running(url, tmp_path) as service:
        with httpx.Client(base_url=service.url, headers=asyncio.run(staff_of(url)), timeout=20) as client:
            assert_works(client, "warm")
            server.kill()
            server.start()
            assert_works(client, "restarted")
            for statement in END_IDLE_SESSIONS[name]:
                ask(admin, statement)
            for number in range(3):
                sleep(2)
                assert_works(client, f"idle {number}")
        log = service.log.read_text()
        assert "Exception in ASGI application" not in log


def assert_works(client: httpx.Client, what: str) -> None:
    """On every connection of both workers, more or less."""
    for number in range(12):
        assert client.get("/users/me").status_code == 200
        written = client.post("/tags", json={"name": f"{what} {number}"})
        assert written.status_code == 201, written.text
