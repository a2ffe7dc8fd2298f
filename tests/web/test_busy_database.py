"""A database that is busy: requests that wait for a locked row or for a connection."""

import asyncio
from time import monotonic

from httpx import AsyncClient, Response
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.category import Category
from api.models.product import Product
from api.settings import Settings
from tests.support import assert_refused
from tests.web.support import add_one, second_process, stocks


class TestBusyDatabase:
    """A request that waits in vain, for a locked row or for a connection, is refused in time."""

    async def test_a_write_that_waits_for_a_locked_row_is_refused_while_reads_are_answered(
        self, as_staff: AsyncClient, database: Database, session: AsyncSession, products: list[Product]
    ) -> None:
        path = f"/products/{products[0].id}"
        async with database.writes() as other, other.begin():
            await add_one(other, products[0].id)
            began = monotonic()
            waiting = asyncio.create_task(as_staff.post(f"{path}/stock", json={"delta": 5, "reason": "Delivery"}))
            reads: list[Response] = []
            while not waiting.done():
                reads.append(await as_staff.get(path))
            took = monotonic() - began
            await other.rollback()

        assert_refused(await waiting, 503)
        assert int((await waiting).headers["Retry-After"]) > 0
        assert 2.5 < took < 10, f"the refusal took {took:.1f} s"
        assert len(reads) > 10, f"only {len(reads)} reads were answered while the write waited"
        assert {(read.status_code, read.json()["stock_quantity"]) for read in reads} == {(200, 10)}
        assert await stocks(session) == [10, 10]

    async def test_requests_without_a_free_connection_are_refused_until_one_is_free(
        self, settings: Settings, database: Database
    ) -> None:
        changes = {"database_pool_size": 1, "database_pool_timeout": 2}
        async with second_process(settings, **changes) as (second_database, client):
            async with second_database.reads() as only_session:
                await only_session.exec(select(Category.id).limit(1))
                refusals = await asyncio.gather(
                    client.get("/categories"),
                    client.post("/users", json={"username": "late", "email": "l@example.com", "password": "Secure12"}),
                    client.get("/health/ready"),
                )
                alive = await client.get("/health")
            answers = await asyncio.gather(*(client.get("/categories") for _ in range(3)))

        for refusal in refusals:
            assert_refused(refusal, 503, "connections are in use")
            assert int(refusal.headers["Retry-After"]) > 0
        assert alive.status_code == 200
        assert {answer.status_code for answer in answers} == {200}
