"""A route's transaction: run again after a deadlock, bounded in time, and never acknowledged before it is committed."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from decimal import Decimal
from time import monotonic
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from httpx import ASGITransport, AsyncClient, Response
from sqlalchemy import AsyncAdaptedQueuePool, Connection, event, make_url
from sqlalchemy.util import await_only
from sqlmodel import col, func, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth.tokens import new_token
from api.database.sessions import Database
from api.errors import Conflict
from api.main import create_app
from api.models.category import Category
from api.models.idempotency_key import IdempotencyKey
from api.models.notification import Notification, NotificationKind
from api.models.order import OrderStatus
from api.models.order_event import OrderEvent
from api.models.product import Product
from api.models.stock_movement import StockMovement, StockReason
from api.models.token import Token, TokenKind
from api.models.user import User
from api.rules.notifications import notify
from api.settings import Settings
from api.web import transactions
from api.web.error_handlers import install_error_handlers
from api.web.idempotency import Idempotent
from api.web.routing import TransactionRoute
from api.web.sessions import ReadSession, WriteSession
from api.web.transactions import MAX_ATTEMPTS
from tests.databases import Backend, ask
from tests.support import FreshSession, assert_refused, save


@pytest.fixture
async def products(session: AsyncSession) -> list[Product]:
    found = [
        Product(name=f"Product {each}", slug=f"product-{each}", sku=f"P-{each}", price=Decimal(1), stock_quantity=10)
        for each in range(2)
    ]
    await save(session, *found)
    await save(session, *(StockMovement(product_id=each.id, delta=10, reason=StockReason.INITIAL) for each in found))
    return found


async def stocks(session: AsyncSession) -> list[int]:
    return list((await session.exec(select(col(Product.stock_quantity)).order_by(col(Product.id)))).all())


async def add_one(session: AsyncSession, product_id: int) -> None:
    more = col(Product.stock_quantity) + 1
    await session.exec(update(Product).where(col(Product.id) == product_id).values(stock_quantity=more))


async def run(session: AsyncSession, statement: str) -> Any:
    return await (await session.connection()).exec_driver_sql(statement)


@asynccontextmanager
async def small_app(database: Database, router: APIRouter) -> AsyncIterator[AsyncClient]:
    """An app of nothing but these routes."""
    app = FastAPI()
    app.state.database = database
    install_error_handlers(app)
    app.include_router(router)
    async with AsyncClient(transport=ASGITransport(app), base_url="http://test.example") as client:
        yield client


@asynccontextmanager
async def another_app(settings: Settings, **changes: Any) -> AsyncIterator[tuple[Database, AsyncClient]]:
    """The shop on the same database, with a pool of its own."""
    app = create_app(settings.model_copy(update=changes))
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=ASGITransport(app), base_url="http://test.example") as client,
    ):
        yield app.state.database, client


def server(settings: Settings) -> Any:
    return make_url(settings.database_url)


def connection_id(dbapi_connection: Any) -> int:
    driver = dbapi_connection.driver_connection
    return int(driver.info.backend_pid if hasattr(driver, "info") else driver.thread_id())


def kill(settings: Settings, backend: Backend, connection: int) -> None:
    """Have the server break off a connection, and wait until it has."""
    if backend.name == "postgresql":
        assert ask(server(settings), f"SELECT pg_terminate_backend({connection}, 5000)")
    else:
        ask(server(settings), f"KILL {connection}")


@contextmanager
def killed_at_commit(database: Database, settings: Settings, backend: Backend) -> Iterator[list[int]]:
    """Break off each connection that is about to commit."""
    killed: list[int] = []

    def on_commit(connection: Connection) -> None:
        killed.append(connection_id(connection.connection.dbapi_connection))
        kill(settings, backend, killed[-1])

    event.listen(database.engine.sync_engine, "commit", on_commit)
    try:
        yield killed
    finally:
        event.remove(database.engine.sync_engine, "commit", on_commit)


@pytest.fixture
def on_a_server(backend: Backend) -> Backend:
    if backend.name == "sqlite":
        pytest.skip("SQLite has no server, and one writer at a time")
    return backend


DEADLOCK = {
    "postgresql": "DO $$ BEGIN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END $$",
    "mariadb": "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213",
}
SERIALISATION_FAILURE = {
    "postgresql": "DO $$ BEGIN RAISE EXCEPTION 'serialisation' USING ERRCODE = '40001'; END $$",
    "mariadb": "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1020",
}


class TestRunAgain:
    async def test_after_a_deadlock_both_succeed(
        self, on_a_server: Backend, database: Database, session: AsyncSession, products: list[Product]
    ) -> None:
        router, runs, both_hold_one = APIRouter(route_class=TransactionRoute), [], asyncio.Barrier(2)

        @router.post("/{first}/{second}")
        async def lock(first: int, second: int, session: WriteSession) -> str:
            runs.append(first)
            await add_one(session, first)
            if len(runs) <= 2:
                await both_hold_one.wait()
            await add_one(session, second)
            return "done"

        one, other = (product.id for product in products)
        async with small_app(database, router) as client:
            responses = await asyncio.gather(client.post(f"/{one}/{other}"), client.post(f"/{other}/{one}"))

        assert [response.status_code for response in responses] == [200, 200]
        assert len(runs) == 3
        assert await stocks(session) == [12, 12]

    async def test_after_a_serialisation_failure_on_commit_both_succeed(
        self, backend: Backend, database: Database, session: AsyncSession, products: list[Product]
    ) -> None:
        if backend.name != "postgresql":
            pytest.skip("only PostgreSQL finds out as late as on commit")
        router, runs, both_have_read = APIRouter(route_class=TransactionRoute), [], asyncio.Barrier(2)
        written: list[int] = []

        @router.post("/{target}")
        async def add_the_sum(target: int, session: WriteSession) -> int:
            runs.append(target)
            await run(session, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
            total = (await session.exec(select(func.sum(Product.stock_quantity)))).one()
            if len(runs) <= 2:
                await both_have_read.wait()
            await session.exec(update(Product).where(col(Product.id) == target).values(stock_quantity=total))
            written.append(target)
            if len(written) <= 2:
                await both_have_read.wait()
            return int(total)

        async with small_app(database, router) as client:
            responses = await asyncio.gather(*(client.post(f"/{product.id}") for product in products))

        assert [response.status_code for response in responses] == [200, 200]
        assert len(runs) == len(written) == 3  # so it was the commit that failed
        assert sorted(response.json() for response in responses) == [20, 30]  # as if one had come after the other
        assert sorted(await stocks(session)) == [20, 30]

    @pytest.mark.parametrize("failure", [DEADLOCK, SERIALISATION_FAILURE], ids=["deadlock", "serialisation"])
    async def test_until_it_succeeds_and_nothing_is_done_twice(
        self,
        on_a_server: Backend,
        database: Database,
        session: AsyncSession,
        products: list[Product],
        failure: dict[str, str],
    ) -> None:
        router, runs = APIRouter(route_class=TransactionRoute), []

        @router.post("/{product_id}")
        async def add(product_id: int, session: WriteSession) -> int:
            runs.append(product_id)
            await add_one(session, product_id)
            if len(runs) < MAX_ATTEMPTS:
                await run(session, failure[on_a_server.name])
            return len(runs)

        async with small_app(database, router) as client:
            response = await client.post(f"/{products[0].id}")

        assert (response.status_code, response.json()) == (200, MAX_ATTEMPTS)
        assert await stocks(session) == [11, 10]

    @pytest.mark.parametrize("failure", [DEADLOCK, SERIALISATION_FAILURE], ids=["deadlock", "serialisation"])
    async def test_so_often_and_no_more(
        self,
        on_a_server: Backend,
        database: Database,
        session: AsyncSession,
        products: list[Product],
        failure: dict[str, str],
    ) -> None:
        router, runs = APIRouter(route_class=TransactionRoute), []

        @router.post("/{product_id}")
        async def add(product_id: int, session: WriteSession) -> None:
            runs.append(product_id)
            await add_one(session, product_id)
            await run(session, failure[on_a_server.name])

        began = monotonic()
        async with small_app(database, router) as client:
            response = await client.post(f"/{products[0].id}")

        assert_refused(response, 503)
        assert int(response.headers["Retry-After"]) > 0
        assert len(runs) == MAX_ATTEMPTS
        assert monotonic() - began < 10
        assert await stocks(session) == [10, 10]

    async def test_not_after_a_refusal_or_another_error(
        self, database: Database, session: AsyncSession, products: list[Product]
    ) -> None:
        router, runs = APIRouter(route_class=TransactionRoute), []

        @router.post("/refused/{product_id}")
        async def refuse(product_id: int, session: WriteSession) -> None:
            runs.append("refused")
            await add_one(session, product_id)
            raise Conflict("No.")

        @router.post("/taken/{product_id}")
        async def take_the_same_sku(product_id: int, session: WriteSession) -> None:
            runs.append("taken")
            await add_one(session, product_id)
            session.add(Product(name="Other", slug="other", sku="P-1", price=Decimal(1)))

        async with small_app(database, router) as client:
            assert_refused(await client.post(f"/refused/{products[0].id}"), 409, "No.")
            assert_refused(await client.post(f"/taken/{products[0].id}"), 409, "sku is already taken")

        assert runs == ["refused", "taken"]
        assert await stocks(session) == [10, 10]


class TestADeadlockInASavepoint:
    """MariaDB ends the whole transaction, and says of the savepoint only that there is none.

    Who went on then would write without a transaction, and could not take it back.
    """

    async def test_has_the_whole_transaction_run_again(
        self, on_a_server: Backend, database: Database, session: AsyncSession, products: list[Product]
    ) -> None:
        router, runs, both_hold_one = APIRouter(route_class=TransactionRoute), [], asyncio.Barrier(2)

        @router.post("/{first}/{second}")
        async def lock(first: int, second: int, session: WriteSession) -> str:
            runs.append(first)
            await add_one(session, first)
            if len(runs) <= 2:
                await both_hold_one.wait()
            async with session.begin_nested():
                await add_one(session, second)
            return "done"

        one, other = (product.id for product in products)
        async with small_app(database, router) as client:
            responses = await asyncio.gather(client.post(f"/{one}/{other}"), client.post(f"/{other}/{one}"))

        assert [response.status_code for response in responses] == [200, 200]
        assert len(runs) == 3
        assert await stocks(session) == [12, 12]

    async def test_has_it_run_again_under_an_idempotency_key(
        self, on_a_server: Backend, database: Database, session: AsyncSession, products: list[Product], customer: User
    ) -> None:
        secret, token = new_token(customer, TokenKind.SESSION, "Test", timedelta(days=1))
        await save(session, token)
        router, runs, both_hold_one = APIRouter(route_class=TransactionRoute), [], asyncio.Barrier(2)

        @router.post("/{first}/{second}", dependencies=[Idempotent])
        async def lock(first: int, second: int, session: WriteSession) -> int:
            runs.append(first)
            await add_one(session, first)
            if len(runs) <= 2:
                await both_hold_one.wait()
            await add_one(session, second)
            return first

        async def send(client: AsyncClient, first: int, second: int) -> Response:
            headers = {"Authorization": f"Bearer {secret}", "Idempotency-Key": f"{first}"}
            return await client.post(f"/{first}/{second}", headers=headers)

        one, other = (product.id for product in products)
        async with small_app(database, router) as client:
            responses = await asyncio.gather(send(client, one, other), send(client, other, one))
            again = [await send(client, one, other), await send(client, other, one)]

        assert [(response.status_code, response.json()) for response in responses] == [(200, one), (200, other)]
        assert len(runs) == 3
        assert await stocks(session) == [12, 12]
        keys = (await session.exec(select(IdempotencyKey).order_by(col(IdempotencyKey.key)))).all()
        assert [(key.key, key.status_code) for key in keys] == [(f"{each}", 200) for each in sorted([one, other])]
        assert [response.content for response in again] == [response.content for response in responses]
        assert {response.headers["Idempotent-Replayed"] for response in again} == {"true"}

    async def test_of_a_notification_is_not_taken_for_its_failure_alone(
        self,
        on_a_server: Backend,
        database: Database,
        session: AsyncSession,
        products: list[Product],
        customer: User,
        other_customer: User,
    ) -> None:
        """Each holds the user whom the other one is about to tell something."""
        router, runs, both_hold_one = APIRouter(route_class=TransactionRoute), [], asyncio.Barrier(2)

        @router.post("/{product_id}/{held}/{told}")
        async def tell(product_id: int, held: int, told: int, session: WriteSession) -> str:
            runs.append(held)
            await add_one(session, product_id)
            await session.exec(select(User.id).where(User.id == held).with_for_update())
            if len(runs) <= 2:
                await both_hold_one.wait()
            kind = NotificationKind.CREDIT_RECEIVED
            await notify(session, Notification(user_id=told, kind=kind, message=f"From {held}"))
            await add_one(session, product_id)
            return "done"

        (one, other), (ann, bob) = (each.id for each in products), (customer.id, other_customer.id)
        async with small_app(database, router) as client:
            responses = await asyncio.gather(client.post(f"/{one}/{ann}/{bob}"), client.post(f"/{other}/{bob}/{ann}"))

        assert [response.status_code for response in responses] == [200, 200]
        assert len(runs) == 3
        assert await stocks(session) == [12, 12]
        told = (await session.exec(select(col(Notification.user_id)).order_by(col(Notification.user_id)))).all()
        assert told == sorted([ann, bob])


def in_use(database: Database) -> int:
    """How many connections are out of the pool."""
    pool = database.engine.pool
    assert isinstance(pool, AsyncAdaptedQueuePool)
    return pool.checkedout()


class TestTheDeadline:
    """For all that a request waits for, one row after another too, which no lock timeout of one row adds up."""

    @pytest.fixture(autouse=True)
    def soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(transactions, "LONGEST", 0.4)

    @pytest.fixture
    def adding(self) -> APIRouter:
        router = APIRouter(route_class=TransactionRoute)

        @router.post("/{first}/{second}")
        async def add(first: int, second: int, session: WriteSession) -> str:
            await add_one(session, first)
            await add_one(session, second)
            return "done"

        return router

    async def test_ends_the_work_and_leaves_nothing_of_it(
        self, backend: Backend, database: Database, session: AsyncSession, products: list[Product], adding: APIRouter
    ) -> None:
        first, second = (product.id for product in products)
        async with small_app(database, adding) as client:
            async with database.writes() as other, other.begin():
                await add_one(other, second)
                before, began = in_use(database), monotonic()
                refused = await client.post(f"/{first}/{second}")
                took, after = monotonic() - began, in_use(database)
                await other.rollback()
            done = [await client.post(f"/{first}/{second}") for _ in range(3)]

        assert_refused(refused, 503, "took too long")
        assert int(refused.headers["Retry-After"]) > 0
        assert 0.4 <= took < (4 if backend.name == "sqlite" else 2.5)  # SQLite itself cannot be interrupted
        assert after == before
        assert [response.status_code for response in done] == [200] * 3
        assert await stocks(session) == [13, 13]

    async def test_counts_all_waiting_together(
        self,
        on_a_server: Backend,
        database: Database,
        session: AsyncSession,
        products: list[Product],
        adding: APIRouter,
    ) -> None:
        first, second = (product.id for product in products)
        async with (
            small_app(database, adding) as client,
            database.writes() as one,
            one.begin(),
            database.writes() as other,
            other.begin(),
        ):
            await add_one(one, first)
            await add_one(other, second)
            began = monotonic()
            waiting = asyncio.create_task(client.post(f"/{first}/{second}"))
            await asyncio.sleep(0.25)  # neither row alone is held for as long as the deadline
            await one.rollback()
            await asyncio.sleep(0.3)
            await other.rollback()
            refused, took = await waiting, monotonic() - began

        assert_refused(refused, 503, "took too long")
        assert took < 2.5
        assert await stocks(session) == [10, 10]

    async def test_takes_the_tries_together(
        self, on_a_server: Backend, database: Database, session: AsyncSession, products: list[Product]
    ) -> None:
        router, runs = APIRouter(route_class=TransactionRoute), []

        @router.post("/{product_id}")
        async def add(product_id: int, session: WriteSession) -> None:
            runs.append(product_id)
            await add_one(session, product_id)
            await asyncio.sleep(0.25)
            await run(session, DEADLOCK[on_a_server.name])

        async with small_app(database, router) as client:
            refused = await client.post(f"/{products[0].id}")

        assert_refused(refused, 503, "took too long")
        assert len(runs) == 2
        assert await stocks(session) == [10, 10]

    async def test_burns_no_idempotency_key(
        self,
        on_a_server: Backend,
        as_staff: AsyncClient,
        database: Database,
        session: AsyncSession,
        products: list[Product],
    ) -> None:
        path, body = f"/products/{products[0].id}/stock", {"delta": 5, "reason": "Delivery"}
        headers = {"Idempotency-Key": "k"}
        async with database.writes() as other, other.begin():
            await add_one(other, products[0].id)
            refused = await as_staff.post(path, json=body, headers=headers)
            await other.rollback()
        done = await as_staff.post(path, json=body, headers=headers)

        assert_refused(refused, 503, "took too long")
        assert done.status_code == 201
        assert "Idempotent-Replayed" not in done.headers
        assert await stocks(session) == [15, 10]

    async def test_never_ends_a_commit(
        self, database: Database, session: AsyncSession, products: list[Product], adding: APIRouter
    ) -> None:
        """What became of one that was broken off, nobody would know."""
        commits: list[float] = []

        def slowly(connection: Connection) -> None:
            commits.append(monotonic())
            await_only(asyncio.sleep(0.6))

        first, second = (product.id for product in products)
        event.listen(database.engine.sync_engine, "commit", slowly)
        try:
            async with small_app(database, adding) as client:
                response = await client.post(f"/{first}/{second}")
        finally:
            event.remove(database.engine.sync_engine, "commit", slowly)

        assert (response.status_code, response.json()) == (200, "done")
        assert len(commits) == 1
        assert await stocks(session) == [11, 11]

    async def test_does_not_count_the_time_that_a_client_takes_to_send(
        self, database: Database, session: AsyncSession, products: list[Product]
    ) -> None:
        router = APIRouter(route_class=TransactionRoute)

        @router.post("/{product_id}")
        async def add(product_id: int, number: dict[str, int], session: WriteSession) -> int:
            await add_one(session, product_id)
            return number["number"]

        async def slowly() -> AsyncIterator[bytes]:
            yield b'{"number"'
            await asyncio.sleep(0.6)
            yield b": 7}"

        async with small_app(database, router) as client:
            headers = {"Content-Type": "application/json"}
            response = await client.post(f"/{products[0].id}", content=slowly(), headers=headers)

        assert (response.status_code, response.json()) == (200, 7)
        assert await stocks(session) == [11, 10]


class TestWaiting:
    async def test_for_a_row_ends_with_a_503_while_reads_are_answered(
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
        assert 2.5 < took < 10
        assert len(reads) > 10
        assert {(read.status_code, read.json()["stock_quantity"]) for read in reads} == {(200, 10)}
        assert await stocks(session) == [10, 10]

    async def test_of_more_writes_than_there_are_connections_leaves_some_to_reads(
        self, settings: Settings, as_staff: AsyncClient, database: Database, products: list[Product]
    ) -> None:
        path, body = f"/products/{products[0].id}", {"delta": 5, "reason": "Delivery"}
        small = {"database_pool_size": 2, "database_max_overflow": 1, "database_pool_timeout": 1}
        async with another_app(settings, **small) as (_, client), database.writes() as other, other.begin():
            client.headers = as_staff.headers
            await add_one(other, products[0].id)
            waiting = asyncio.gather(*(client.post(f"{path}/stock", json=body) for _ in range(12)))
            reads: list[tuple[float, int]] = []
            while not waiting.done():
                began = monotonic()
                status = (await client.get(path)).status_code
                reads.append((monotonic() - began, status))
            await other.rollback()

        refused = await waiting
        assert {response.status_code for response in refused} == {503}
        assert all(int(response.headers["Retry-After"]) > 0 for response in refused)
        assert {status for _, status in reads} == {200}
        assert max(took for took, _ in reads) < 0.9  # none waited for a connection until it was refused one

    async def test_of_writes_does_not_hold_up_a_read_with_a_token_that_was_long_unused(
        self, settings: Settings, client: AsyncClient, customer: User, database: Database, products: list[Product]
    ) -> None:
        """Its use is noted by a write, for which there is time later."""
        secret, token = new_token(customer, TokenKind.SESSION, "Test", timedelta(days=1))
        async with FreshSession(database.engine) as session:
            await save(session, token)
        headers = {"Authorization": f"Bearer {secret}"}
        small = {"database_pool_size": 2, "database_max_overflow": 1, "database_pool_timeout": 3}
        async with another_app(settings, **small) as (its_database, client):
            async with AsyncExitStack() as writing:
                for _ in range(its_database._write_slots.free._value):
                    await run(await writing.enter_async_context(its_database.transaction()), "SELECT 1")
                began = monotonic()
                read = await client.get("/users/me", headers=headers)
                took = monotonic() - began
            later = await client.get("/users/me", headers=headers)

        assert (read.status_code, later.status_code) == (200, 200)
        assert took < 1
        async with FreshSession(database.engine) as session:
            noted = await session.get(Token, token.id)
        assert noted is not None
        assert noted.last_used_at is not None

    async def test_in_turn_is_given_up_where_the_client_is_refused(
        self, settings: Settings, as_staff: AsyncClient, database: Database, products: list[Product]
    ) -> None:
        """A turn that was lost on the way would be missing for good."""
        path = f"/products/{products[0].id}/stock"
        small = {"database_pool_size": 1, "database_max_overflow": 0, "database_pool_timeout": 0.2}
        async with another_app(settings, **small) as (_, client):
            client.headers = as_staff.headers
            async with database.writes() as other, other.begin():
                await add_one(other, products[0].id)
                late = await asyncio.gather(*(client.post(path, json={"delta": 1, "reason": "Late"}) for _ in range(5)))
                await other.rollback()
            refused = [await client.post(path, json={"delta": -1_000, "reason": "Theft"}) for _ in range(5)]
            done = await client.post(path, json={"delta": 1, "reason": "Delivery"})

        assert {response.status_code for response in late} == {503}
        assert {response.status_code for response in refused} == {409}
        assert done.status_code == 201

    async def test_for_a_connection_ends_with_a_503_and_recovers(self, settings: Settings, database: Database) -> None:
        changes = {"database_pool_size": 1, "database_max_overflow": 0, "database_pool_timeout": 0.2}
        async with another_app(settings, **changes) as (its_database, client):
            async with its_database.reads() as only:
                await only.exec(select(Category.id).limit(1))
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


class TestACommitThatFails:
    async def test_is_no_success_where_the_connection_breaks(
        self, on_a_server: Backend, as_staff: AsyncClient, settings: Settings, database: Database, session: AsyncSession
    ) -> None:
        with killed_at_commit(database, settings, on_a_server) as killed:
            response = await as_staff.post("/categories", json={"name": "Vinyl"})

        assert len(killed) == 1
        assert_refused(response, 503)
        assert int(response.headers["Retry-After"]) > 0
        assert (await session.exec(select(Category.id).where(Category.name == "Vinyl"))).all() == []
        assert (await as_staff.post("/categories", json={"name": "Vinyl"})).status_code == 201

    async def test_leaves_no_idempotency_key_behind(
        self,
        on_a_server: Backend,
        as_staff: AsyncClient,
        settings: Settings,
        database: Database,
        session: AsyncSession,
        products: list[Product],
    ) -> None:
        async def deliver() -> Response:
            body = {"delta": 5, "reason": "Delivery"}
            path = f"/products/{products[0].id}/stock"
            return await as_staff.post(path, json=body, headers={"Idempotency-Key": "k"})

        with killed_at_commit(database, settings, on_a_server):
            assert_refused(await deliver(), 503)
        assert (await session.exec(select(IdempotencyKey))).all() == []
        assert await stocks(session) == [10, 10]

        again = await deliver()
        assert again.status_code == 201
        assert "Idempotent-Replayed" not in again.headers
        assert await stocks(session) == [15, 10]

    async def test_is_no_success_where_a_constraint_waits_for_it(
        self, backend: Backend, settings: Settings, database: Database, session: AsyncSession, products: list[Product]
    ) -> None:
        if backend.name == "mariadb":
            pytest.skip("MariaDB has no deferred constraints")
        router = APIRouter(route_class=TransactionRoute)
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

        async with small_app(database, router) as client:
            response = await client.post(f"/{products[0].id}")

        assert_refused(response, 409, "refers to something that does not exist")
        assert await stocks(session) == [10, 10]
        assert (await session.exec(select(OrderEvent))).all() == []

    async def test_is_finished_before_the_answer_is_sent(
        self, database: Database, session: AsyncSession, products: list[Product]
    ) -> None:
        """Whoever has the answer finds what it tells of, on any connection."""
        router = APIRouter(route_class=TransactionRoute)

        @router.post("/{product_id}")
        async def add(product_id: int, session: WriteSession) -> None:
            await add_one(session, product_id)

        @router.get("/{product_id}")
        async def read(product_id: int, session: ReadSession) -> int:
            return (await session.exec(select(col(Product.stock_quantity)).where(Product.id == product_id))).one()

        async with small_app(database, router) as client:
            for expected in range(11, 31):
                await client.post(f"/{products[0].id}")
                assert (await client.get(f"/{products[0].id}")).json() == expected


class TestBrokenConnections:
    async def test_of_the_whole_pool_are_replaced(
        self, on_a_server: Backend, settings: Settings, database: Database
    ) -> None:
        async with another_app(settings) as (its_database, client):
            opened: list[int] = []
            note = lambda dbapi_connection, _: opened.append(connection_id(dbapi_connection))  # noqa: E731
            event.listen(its_database.engine.sync_engine, "connect", note)
            await asyncio.gather(*(client.get("/categories") for _ in range(5)))
            before = list(opened)
            assert before
            for each in before:
                kill(settings, on_a_server, each)

            answers = await asyncio.gather(*(client.get("/categories") for _ in range(5)))

        assert {answer.status_code for answer in answers} == {200}
        assert len(opened) > len(before)

    async def test_in_the_middle_of_a_transaction_undo_it_and_are_a_503(
        self,
        on_a_server: Backend,
        database: Database,
        settings: Settings,
        session: AsyncSession,
        products: list[Product],
    ) -> None:
        router = APIRouter(route_class=TransactionRoute)
        runs: list[int] = []

        @router.post("/{first}/{second}")
        async def add_to_both(first: int, second: int, session: WriteSession) -> str:
            await add_one(session, first)
            if not runs:
                raw = await (await session.connection()).get_raw_connection()
                runs.append(connection_id(raw.dbapi_connection))
                kill(settings, on_a_server, runs[0])
            await add_one(session, second)
            return "done"

        path = "/{}/{}".format(*(product.id for product in products))
        async with small_app(database, router) as client:
            refused, done = await client.post(path), await client.post(path)

        assert_refused(refused, 503)
        assert done.status_code == 200
        assert await stocks(session) == [11, 11]

    async def test_in_the_middle_of_a_statement_are_a_503(
        self,
        on_a_server: Backend,
        as_staff: AsyncClient,
        database: Database,
        settings: Settings,
        session: AsyncSession,
        products: list[Product],
    ) -> None:
        path = f"/products/{products[0].id}/stock"
        begun: list[int] = []

        def note(connection: Connection, cursor: Any, statement: str, *rest: Any) -> None:
            if "FOR UPDATE" in statement or statement.startswith("UPDATE products"):
                begun.append(connection_id(connection.connection.dbapi_connection))

        async with database.writes() as other, other.begin():
            await add_one(other, products[0].id)
            event.listen(database.engine.sync_engine, "before_cursor_execute", note)
            try:
                waiting = asyncio.create_task(as_staff.post(path, json={"delta": 5, "reason": "Delivery"}))
                async with asyncio.timeout(3):
                    while not begun:  # noqa: ASYNC110 - it is a listener that tells
                        await asyncio.sleep(0.01)
                kill(settings, on_a_server, begun[0])
                response = await waiting
            finally:
                event.remove(database.engine.sync_engine, "before_cursor_execute", note)
            await other.rollback()

        assert_refused(response, 503)
        assert (await as_staff.post(path, json={"delta": 5, "reason": "Delivery"})).status_code == 201
        assert await stocks(session) == [15, 10]
