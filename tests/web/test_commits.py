"""The commit of a request: no request is answered with a success before its transaction is committed."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from httpx import AsyncClient, Response
from sqlalchemy import Connection, event
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.database.sessions import Database
from api.models.category import Category
from api.models.idempotency_key import IdempotencyKey
from api.models.order import OrderStatus
from api.models.order_event import OrderEvent
from api.models.product import Product
from api.settings import Settings
from api.web.sessions import WriteSession
from tests.databases import Backend
from tests.support import assert_refused
from tests.web.support import add_one, app_with, connection_id, kill, new_router, run, stocks


@contextmanager
def killed_at_commit(database: Database, settings: Settings, backend: Backend) -> Iterator[list[int]]:
    """Break each connection that is about to commit."""
    killed: list[int] = []

    def on_commit(connection: Connection) -> None:
        killed.append(connection_id(connection.connection.dbapi_connection))
        kill(settings, backend, killed[-1])

    event.listen(database.engine.sync_engine, "commit", on_commit)
    try:
        yield killed
    finally:
        event.remove(database.engine.sync_engine, "commit", on_commit)


class TestFailedCommit:
    async def test_a_commit_whose_connection_breaks_is_no_success(
        self,
        server_backend: Backend,
        as_staff: AsyncClient,
        settings: Settings,
        database: Database,
        session: AsyncSession,
    ) -> None:
        with killed_at_commit(database, settings, server_backend) as killed:
            response = await as_staff.post("/categories", json={"name": "Vinyl"})

        assert len(killed) == 1, f"{len(killed)} transactions were committed, not one"
        assert_refused(response, 503)
        assert int(response.headers["Retry-After"]) > 0
        assert (await session.exec(select(Category.id).where(Category.name == "Vinyl"))).all() == []
        assert (await as_staff.post("/categories", json={"name": "Vinyl"})).status_code == 201

    async def test_a_failed_commit_leaves_no_idempotency_key_behind(
        self,
        server_backend: Backend,
        as_staff: AsyncClient,
        settings: Settings,
        database: Database,
        session: AsyncSession,
        products: list[Product],
    ) -> None:
        async def deliver() -> Response:
            path, body = f"/products/{products[0].id}/stock", {"delta": 5, "reason": "Delivery"}
            return await as_staff.post(path, json=body, headers={"Idempotency-Key": "k"})

        with killed_at_commit(database, settings, server_backend):
            assert_refused(await deliver(), 503)
        assert (await session.exec(select(IdempotencyKey))).all() == []
        assert await stocks(session) == [10, 10]

        again = await deliver()
        assert again.status_code == 201
        assert "Idempotent-Replayed" not in again.headers
        assert await stocks(session) == [15, 10]

    async def test_a_commit_that_violates_a_deferred_constraint_is_no_success(
        self, backend: Backend, settings: Settings, database: Database, session: AsyncSession, products: list[Product]
    ) -> None:
        if backend.name == "mariadb":
            pytest.skip("MariaDB has no deferred constraints")
        router = new_router()
        constraint = "fk_order_events_order_id_orders"
        defer = {
            "sqlite": ["PRAGMA defer_foreign_keys = ON"],
            "postgresql": [
                f"ALTER TABLE order_events ALTER CONSTRAINT {constraint} DEFERRABLE",
                f"SET CONSTRAINTS {constraint} DEFERRED",
            ],
        }

        @router.post("/{product_id}")
        async def record_an_event_of_no_order(product_id: int, session: WriteSession) -> str:
            for statement in defer[backend.name]:
                await run(session, statement)
            await add_one(session, product_id)
            session.add(OrderEvent(order_id=1_000_000, to_status=OrderStatus.PENDING))
            await session.flush()
            return "done"

        async with app_with(database, router) as client:
            response = await client.post(f"/{products[0].id}")

        assert_refused(response, 409, "refers to a row that does not exist")
        assert await stocks(session) == [10, 10]
        assert (await session.exec(select(OrderEvent))).all() == []


class TestCommit:
    async def test_the_commit_is_finished_before_the_answer_is_sent(
        self, database: Database, session: AsyncSession, products: list[Product]
    ) -> None:
        """Whoever has the answer finds the change, on any connection."""
        router = new_router()
        found: list[list[int]] = []

        @router.post("/{product_id}")
        async def add(product_id: int, session: WriteSession) -> None:
            await add_one(session, product_id)

        def looking_at_the_stock(app: ASGIApp) -> ASGIApp:
            async def look(scope: Scope, receive: Receive, send: Send) -> None:
                async def look_and_send(message: Message) -> None:
                    if message["type"] == "http.response.start":
                        found.append(await stocks(session))
                    await send(message)

                await app(scope, receive, look_and_send)

            return look

        async with app_with(database, router, around=looking_at_the_stock) as client:
            assert (await client.post(f"/{products[0].id}")).status_code == 200

        assert found == [[11, 10]], "the answer was sent before its transaction was committed"
