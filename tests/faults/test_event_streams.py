"""Streams of events while servers are killed and stopped: a client that connects again misses and repeats nothing."""

import asyncio
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.settings import Settings
from api.worker.relay import relay
from tests.factories import an_event
from tests.faults.service import PROCFILE, Service, serving
from tests.faults.shop import Customer, a_look_into, sign_in
from tests.worker.support import feed_of

pytestmark = pytest.mark.faults

EVENTS = 400
HANG_UP_AFTER = 30
"""Events after which the client hangs up, and connects again."""


class Reader:
    """A client of server-sent events, which connects again with the id that it has read to."""

    def __init__(self, service: Service, staff: Customer) -> None:
        self._service, self._staff = service, staff
        self.ids: list[int] = []
        self.connections = 0

    async def read(self, how_many: int, hang_up_after: int = sys.maxsize) -> None:
        while len(self.ids) < how_many:
            with suppress(httpx.TransportError):
                await self._connect(min(how_many, len(self.ids) + hang_up_after))
            await asyncio.sleep(0.05)

    async def _connect(self, how_many: int) -> None:
        last = {"Last-Event-ID": str(self.ids[-1])} if self.ids else {}
        headers = {**self._staff.headers, **last}
        async with (
            httpx.AsyncClient(base_url=self._service.url, headers=headers, timeout=20) as client,
            client.stream("GET", "/events/stream") as answer,
        ):
            self.connections += answer.is_success
            async for line in answer.aiter_lines():
                if line.startswith("id: "):
                    self.ids.append(int(line.removeprefix("id: ")))
                    if len(self.ids) >= how_many:
                        return


async def add_events(session: AsyncSession, url: str) -> None:
    """As a shop does whose worker gives the places."""
    database = Database(Settings(_env_file=None, database_url=url))
    for number in range(EVENTS):
        await an_event(session)
        if number % 3 == 0:
            await relay(database)
        await asyncio.sleep(0.01)
    while await relay(database):
        pass
    await database.close()


async def test_a_client_that_connects_again_has_each_event_once(migrated: str, tmp_path: Path) -> None:
    with serving(migrated, tmp_path) as service:
        async with a_look_into(migrated) as session:
            staff, _ = await sign_in(session, 2)
            reader = Reader(service, staff)
            reading = asyncio.create_task(reader.read(EVENTS, HANG_UP_AFTER))
            adding = asyncio.create_task(add_events(session, migrated))
            while len(reader.ids) < EVENTS // 3:  # noqa: ASYNC110 - it is to be killed in the middle
                await asyncio.sleep(0.05)
            service.kill()
            service.start()
            await asyncio.to_thread(service.wait_until_ready)
            async with asyncio.timeout(120):
                await adding
                await reading
            assert reader.ids == [place for place, _ in await feed_of(session)]
            assert reader.connections > EVENTS // HANG_UP_AFTER


@pytest.mark.parametrize("command", [PROCFILE, f"{sys.executable} -m api"], ids=["procfile", "python -m api"])
async def test_a_stop_waits_for_no_stream(migrated: str, command: str, tmp_path: Path) -> None:
    """15 seconds are less than open requests have."""
    with serving(migrated, tmp_path, command) as service:
        async with a_look_into(migrated) as session:
            staff, _ = await sign_in(session, 2)
            async with (
                httpx.AsyncClient(base_url=service.url, headers=staff.headers, timeout=20) as client,
                client.stream("GET", "/events/stream") as answer,
            ):
                parts = answer.aiter_bytes()
                assert await anext(parts) == b"retry: 2000\n\n"
                service.terminate()
                assert await asyncio.to_thread(service.process.wait, 15) == 0, service.last_words()
                assert [part async for part in parts] == [], "the end of the answer was not sent"


async def test_a_stop_waits_for_no_client_that_does_not_read(migrated: str, tmp_path: Path) -> None:
    with serving(migrated, tmp_path) as service:
        async with a_look_into(migrated) as session:
            staff, _ = await sign_in(session, 2)
            data = {"text": "x" * 60_000}
            for position in range(1, 201):  # more than the buffers of two sockets hold
                await an_event(session, position=position, data=data)
            answer, request = await asyncio.open_connection("127.0.0.1", service.port, limit=1024)
            request.write(b"GET /events/stream HTTP/1.1\r\nHost: localhost\r\n")
            request.write(f"Authorization: Bearer {staff.token}\r\n\r\n".encode())
            assert (await answer.readline()).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(1)  # until the buffers are full
            service.terminate()
            assert await asyncio.to_thread(service.process.wait, 15) == 0, service.last_words()
            request.close()
