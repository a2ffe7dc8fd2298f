"""Connections that the database server breaks: the request is undone, and later requests get new connections."""

import asyncio
from typing import Any

from httpx import AsyncClient
from sqlalchemy import Connection, event
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.product import Product
from api.settings import Settings
from api.web.sessions import WriteSession
from tests.databases import Backend
from tests.web.support import add_one, app_with, connection_id, kill, new_router, second_process, stocks


class TestBrokenConnections:
    async def test_broken_connections_of_the_whole_pool_are_replaced(
        self, server_backend: Backend, settings: Settings, database: Database
    ) -> None:
        async with second_process(settings) as (second_database, client):
            opened: list[int] = []
            event.listen(
                second_database.engine.sync_engine,
                "connect",
                lambda dbapi_connection, _: opened.append(connection_id(dbapi_connection)),
            )
            await asyncio.gather(*(client.get("/categories") for _ in range(5)))
            before = list(opened)
            assert before, "no connection was opened"
            for each in before:
                kill(settings, server_backend, each)

            answers = await asyncio.gather(*(client.get("/categories") for _ in range(5)))

        assert {answer.status_code for answer in answers} == {200}
        assert len(opened) > len(before), "the broken connections were not replaced"

    async def test_a_transaction_whose_connection_breaks_is_undone_and_run_again_on_another(
        self,
        server_backend: Backend,
        database: Database,
        settings: Settings,
        session: AsyncSession,
        products: list[Product],
    ) -> None:
        router = new_router()
        runs: list[int] = []

        @router.post("/{first}/{second}")
        async def add_to_both(first: int, second: int, session: WriteSession) -> str:
            await add_one(session, first)
            if not runs:
                raw = await (await session.connection()).get_raw_connection()
                runs.append(connection_id(raw.dbapi_connection))
                kill(settings, server_backend, runs[0])
            await add_one(session, second)
            return "done"

        path = "/{}/{}".format(*(product.id for product in products))
        async with app_with(database, router) as client:
            done = await client.post(path)

        assert len(runs) == 1, "no connection was broken"
        assert done.status_code == 200
        assert await stocks(session) == [11, 11]

    async def test_a_statement_whose_connection_breaks_is_run_again_on_another(
        self,
        server_backend: Backend,
        as_staff: AsyncClient,
        database: Database,
        settings: Settings,
        session: AsyncSession,
        products: list[Product],
    ) -> None:
        path = f"/products/{products[0].id}/stock"
        begun: list[int] = []

        def note_update(connection: Connection, cursor: Any, statement: str, *rest: Any) -> None:
            if "FOR UPDATE" in statement or statement.startswith("UPDATE products"):
                begun.append(connection_id(connection.connection.dbapi_connection))

        async with database.writes() as other, other.begin():
            await add_one(other, products[0].id)
            event.listen(database.engine.sync_engine, "before_cursor_execute", note_update)
            try:
                waiting = asyncio.create_task(as_staff.post(path, json={"delta": 5, "reason": "Delivery"}))
                async with asyncio.timeout(3):
                    while not begun:  # noqa: ASYNC110 - a listener fills it
                        await asyncio.sleep(0.01)
                kill(settings, server_backend, begun[0])
                await other.rollback()
                response = await waiting
            finally:
                event.remove(database.engine.sync_engine, "before_cursor_execute", note_update)

        assert response.status_code == 201
        assert await stocks(session) == [15, 10]
