"""Sessions that rely on what is no longer so, such as prepared statements: they are replaced, and nobody notices."""

import asyncio
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.product import Product
from api.web.sessions import ReadSession
from tests.factories import order_body
from tests.schema import changed
from tests.web.support import app_with, new_router

pytestmark = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)

WIDER = "ALTER TABLE {} ALTER {} TYPE varchar({})"


async def on_every_session(database: Database, statement: str) -> None:
    """Run a statement on each connection that is open and idle."""
    assert database.pool is not None
    count = database.pool.checkedin()
    held = asyncio.Barrier(count)

    async def hold() -> None:
        async with database.engine.connect() as connection:
            await held.wait()
            driver: Any = (await connection.get_raw_connection()).driver_connection
            await driver.execute(statement, prepare=False)

    await asyncio.gather(*(hold() for _ in range(count)))


@pytest.fixture
async def warm(database: Database, as_customer: AsyncClient, products: list[Product]) -> AsyncClient:
    """A client whose requests have prepared their statements, on each connection."""
    requests = (as_customer.get(path) for path in ("/users/me", f"/products/{products[0].id}", "/products") * 16)
    assert {answer.status_code for answer in await asyncio.gather(*requests)} == {200}
    orders = (as_customer.post("/orders", json=order_body((products[0], 1))) for _ in range(8))
    assert {answer.status_code for answer in await asyncio.gather(*orders)} == {201}
    return as_customer


class TestChangedTables:
    @pytest.mark.parametrize(
        ("table", "column", "before", "after"),
        [("users", "full_name", 100, 150), ("products", "name", 200, 250), ("orders", "shipping_address", 500, 600)],
    )
    async def test_requests_go_on_after_a_column_changed_its_type(
        self,
        warm: AsyncClient,
        database: Database,
        products: list[Product],
        table: str,
        column: str,
        before: int,
        after: int,
    ) -> None:
        async with changed(database, WIDER.format(table, column, after), WIDER.format(table, column, before)):
            for _ in range(3):
                for path in ("/users/me", f"/products/{products[0].id}", "/products", "/orders"):
                    assert (await warm.get(path)).status_code == 200, path
                placed = await warm.post("/orders", json=order_body((products[1], 1)))
                assert placed.status_code == 201, placed.text
        assert (await warm.get("/users/me")).status_code == 200

    async def test_writes_that_return_rows_go_on_after_their_table_changed(
        self, as_staff: AsyncClient, database: Database
    ) -> None:
        """By the session: INSERT … RETURNING."""
        for number in range(8):
            assert (await as_staff.post("/tags", json={"name": f"Before {number}"})).status_code == 201
        async with changed(database, WIDER.format("tags", "name", 80), WIDER.format("tags", "name", 50)):
            for number in range(8):
                written = await as_staff.post("/tags", json={"name": f"After {number}"})
                assert written.status_code == 201, written.text


class TestForgottenStatements:
    @pytest.mark.parametrize(
        "statement",
        ["DISCARD ALL", "DEALLOCATE ALL", "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$"],
        ids=["discard", "deallocate", "unnoticed by psycopg"],
    )
    async def test_requests_go_on_after_the_server_forgot_what_was_prepared(
        self, warm: AsyncClient, database: Database, products: list[Product], statement: str
    ) -> None:
        for _ in range(3):
            await on_every_session(database, statement)
            for path in ("/users/me", "/products", "/orders"):
                assert (await warm.get(path)).status_code == 200, path
            await on_every_session(database, statement)
            placed = await warm.post("/orders", json=order_body((products[1], 1)))
            assert placed.status_code == 201, placed.text


class TestMistakes:
    async def test_what_a_fresh_session_cannot_do_either_is_an_internal_error_after_one_more_run(
        self, database: Database, session: AsyncSession
    ) -> None:
        router, runs = new_router(), []

        @router.get("/")
        async def read(session: ReadSession) -> None:
            runs.append(session)
            connection = await session.connection()
            await connection.exec_driver_sql("DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '0A000'; END $$")

        async with app_with(database, router) as client:
            answer = await client.get("/")
        assert (answer.status_code, len(runs)) == (500, 2)
