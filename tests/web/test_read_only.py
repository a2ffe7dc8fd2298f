"""A database that takes no changes, as after a failover: writes are a 503, reads go on, and later all is as before."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from httpx import AsyncClient
from sqlalchemy import event

from api.models.product import Product
from api.models.user import User
from api.settings import Settings
from tests.databases import Backend
from tests.factories import order_body
from tests.support import assert_refused
from tests.web.support import second_process

MAKE_READ_ONLY = {
    "sqlite": "PRAGMA query_only = ON",
    "postgresql": "SET default_transaction_read_only = on",
    "mariadb": "SET SESSION TRANSACTION READ ONLY",
}
"""What a session of a server that takes no changes is like."""


class Failover:
    """While it is `under_way`, new sessions are read-only, and stay so for as long as they live."""

    def __init__(self, backend: Backend) -> None:
        self.under_way = True
        self._statement = MAKE_READ_ONLY[backend.name]

    def prepare(self, connection: Any, record: Any) -> None:
        if self.under_way:
            cursor = connection.cursor()
            cursor.execute(self._statement)
            cursor.close()


@pytest.fixture
def failover(backend: Backend) -> Failover:
    return Failover(backend)


@asynccontextmanager
async def process_of(settings: Settings, failover: Failover, headers: Any) -> AsyncIterator[AsyncClient]:
    async with second_process(settings) as (database, client):
        engine = database.engine.sync_engine
        event.listen(engine, "connect", failover.prepare)
        client.headers = headers
        try:
            yield client
        finally:
            event.remove(engine, "connect", failover.prepare)


class TestReadOnly:
    async def test_writes_are_refused_while_reads_go_on(
        self, as_staff: AsyncClient, settings: Settings, failover: Failover
    ) -> None:
        async with process_of(settings, failover, as_staff.headers) as client:
            for _ in range(3):
                refused = await client.post("/tags", json={"name": "Vinyl"})
                assert_refused(refused, 503, "takes no changes at present")
                assert int(refused.headers["Retry-After"]) > 0
                assert (await client.get("/tags")).status_code == 200
                assert (await client.get("/users/me")).status_code == 200
                assert (await client.get("/health/ready")).status_code == 200

    async def test_every_pooled_session_is_replaced_when_the_database_takes_changes_again(
        self, as_staff: AsyncClient, settings: Settings, failover: Failover
    ) -> None:
        async with process_of(settings, failover, as_staff.headers) as client:
            reads = await asyncio.gather(*(client.get("/users/me") for _ in range(16)))
            assert {read.status_code for read in reads} == {200}
            failover.under_way = False
            for number in range(10):
                written = await client.post("/tags", json={"name": f"Vinyl {number}"})
                assert written.status_code == 201, written.text

    async def test_an_order_whose_statements_are_sent_together_is_refused_and_placed_later(
        self, as_customer: AsyncClient, settings: Settings, failover: Failover, products: list[Product], customer: User
    ) -> None:
        """Its first statements wait for others, so their error may come with any of those, or with the commit."""
        order, key = order_body(*((product, 1) for product in products)), {"Idempotency-Key": "failover"}
        async with process_of(settings, failover, as_customer.headers) as client:
            refused = await client.post("/orders", json=order, headers=key)
            assert_refused(refused, 503, "takes no changes at present")
            failover.under_way = False
            placed = await client.post("/orders", json=order, headers=key)
        assert placed.status_code == 201, placed.text
        assert "Idempotent-Replayed" not in placed.headers
