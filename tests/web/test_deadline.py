"""The deadline of a request: a client has its answer in time, and nothing is left half done."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from time import monotonic

import pytest
from httpx import AsyncClient
from sqlalchemy import Connection, event
from sqlalchemy.util import await_only
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.product import Product
from api.web import transactions
from api.web.routing import Router
from api.web.sessions import WriteSession
from tests.databases import Backend
from tests.support import assert_refused
from tests.web.support import DEADLOCK, add_one, app_with, connections_in_use, new_router, run, stocks


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Give the requests of the block so long. A request that is to succeed gets seconds: the machine may be busy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transactions, "REQUEST_DEADLINE", seconds)
        yield


class TestDeadline:
    """The deadline bounds the sum of all waits of a request. A lock timeout only bounds the wait for one row."""

    @pytest.fixture
    def adding(self) -> Router:
        router = new_router()

        @router.post("/{first}/{second}")
        async def add(first: int, second: int, session: WriteSession) -> str:
            await add_one(session, first)
            await add_one(session, second)
            return "done"

        return router

    async def test_a_request_past_the_deadline_is_refused_and_rolled_back(
        self, backend: Backend, database: Database, session: AsyncSession, products: list[Product], adding: Router
    ) -> None:
        first, second = (product.id for product in products)
        async with app_with(database, adding) as client:
            async with database.writes() as other, other.begin():
                await add_one(other, second)
                connections_before, began = connections_in_use(database), monotonic()
                with deadline(0.4):
                    refused = await client.post(f"/{first}/{second}")
                took, connections_after = monotonic() - began, connections_in_use(database)
                await other.rollback()
            done = [await client.post(f"/{first}/{second}") for _ in range(3)]

        assert_refused(refused, 503, "took too long")
        assert int(refused.headers["Retry-After"]) > 0
        at_most = 4 if backend.name == "sqlite" else 2.5  # a statement of SQLite cannot be interrupted
        assert 0.4 <= took < at_most, f"the refusal took {took:.1f} s"
        assert connections_after == connections_before
        assert [response.status_code for response in done] == [200] * 3
        assert await stocks(session) == [13, 13]

    async def test_the_waits_for_two_rows_count_together(
        self,
        server_backend: Backend,
        database: Database,
        session: AsyncSession,
        products: list[Product],
        adding: Router,
    ) -> None:
        first, second = (product.id for product in products)
        async with (
            app_with(database, adding) as client,
            database.writes() as one,
            one.begin(),
            database.writes() as other,
            other.begin(),
        ):
            await add_one(one, first)
            await add_one(other, second)
            began = monotonic()
            with deadline(2.0):
                waiting = asyncio.create_task(client.post(f"/{first}/{second}"))
                await asyncio.sleep(1.2)  # neither wait alone is as long as the deadline
                await one.rollback()
                await asyncio.sleep(1.5)
                await other.rollback()
                refused, took = await waiting, monotonic() - began

        assert_refused(refused, 503, "took too long")
        assert took < 5, f"the refusal took {took:.1f} s"
        assert await stocks(session) == [10, 10]

    async def test_all_attempts_of_a_request_count_together(
        self, server_backend: Backend, database: Database, session: AsyncSession, products: list[Product]
    ) -> None:
        router, runs = new_router(), []

        @router.post("/{product_id}")
        async def add(product_id: int, session: WriteSession) -> None:
            runs.append(product_id)
            await add_one(session, product_id)
            await asyncio.sleep(1.8)  # one run fits into the deadline, two do not
            await run(session, DEADLOCK[server_backend.name])

        async with app_with(database, router) as client:
            with deadline(3.0):
                refused = await client.post(f"/{products[0].id}")

        assert_refused(refused, 503, "took too long")
        assert len(runs) == 2
        assert await stocks(session) == [10, 10]

    async def test_a_request_past_the_deadline_leaves_its_idempotency_key_unused(
        self,
        server_backend: Backend,
        as_staff: AsyncClient,
        database: Database,
        session: AsyncSession,
        products: list[Product],
    ) -> None:
        path, body = f"/products/{products[0].id}/stock", {"delta": 5, "reason": "Delivery"}
        headers = {"Idempotency-Key": "k"}
        async with database.writes() as other, other.begin():
            await add_one(other, products[0].id)
            with deadline(0.4):
                refused = await as_staff.post(path, json=body, headers=headers)
            await other.rollback()
        done = await as_staff.post(path, json=body, headers=headers)

        assert_refused(refused, 503, "took too long")
        assert done.status_code == 201
        assert "Idempotent-Replayed" not in done.headers
        assert await stocks(session) == [15, 10]

    async def test_a_commit_is_never_interrupted(
        self, database: Database, session: AsyncSession, products: list[Product], adding: Router
    ) -> None:
        """Nobody would know whether an interrupted commit took place."""
        commits: list[float] = []

        def commit_slowly(connection: Connection) -> None:
            commits.append(monotonic())
            await_only(asyncio.sleep(2.5))

        first, second = (product.id for product in products)
        event.listen(database.engine.sync_engine, "commit", commit_slowly)
        try:
            async with app_with(database, adding) as client:
                with deadline(2.0):
                    response = await client.post(f"/{first}/{second}")
        finally:
            event.remove(database.engine.sync_engine, "commit", commit_slowly)

        assert (response.status_code, response.json()) == (200, "done")
        assert len(commits) == 1
        assert await stocks(session) == [11, 11]

    async def test_the_time_that_a_client_takes_to_send_the_body_does_not_count(
        self, database: Database, session: AsyncSession, products: list[Product]
    ) -> None:
        router = new_router()

        @router.post("/{product_id}")
        async def add(product_id: int, number: dict[str, int], session: WriteSession) -> int:
            await add_one(session, product_id)
            return number["number"]

        async def send_slowly() -> AsyncIterator[bytes]:
            yield b'{"number"'
            await asyncio.sleep(2.5)
            yield b": 7}"

        async with app_with(database, router) as client:
            headers = {"Content-Type": "application/json"}
            with deadline(2.0):
                response = await client.post(f"/{products[0].id}", content=send_slowly(), headers=headers)

        assert (response.status_code, response.json()) == (200, 7)
        assert await stocks(session) == [11, 10]
