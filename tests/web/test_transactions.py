"""A route's transaction: it is run again after a deadlock, and a route without a transaction says so."""

import asyncio
from decimal import Decimal
from time import monotonic

import pytest
from fastapi import APIRouter, Depends
from httpx import AsyncClient, Response
from sqlmodel import col, func, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth.callers import current_user
from api.database.sessions import Database
from api.errors import Conflict
from api.models.audit_entry import AuditEntry
from api.models.idempotency_key import IdempotencyKey
from api.models.notification import Notification, NotificationKind
from api.models.product import Product
from api.models.user import User
from api.rules.notifications import notify
from api.web.sessions import WriteSession
from api.web.transactions import MAX_ATTEMPTS
from tests.books import rows_of
from tests.databases import Backend
from tests.factories import a_token
from tests.support import assert_refused
from tests.web.support import DEADLOCK, SERIALIZATION_FAILURE, add_one, app_with, new_router, run, stocks


class TestRetry:
    """A transaction is run again after an error that another attempt may overcome."""

    async def test_both_requests_of_a_deadlock_succeed(
        self, server_backend: Backend, database: Database, session: AsyncSession, products: list[Product]
    ) -> None:
        router, runs, both_hold_one = new_router(), [], asyncio.Barrier(2)

        @router.post("/{first}/{second}")
        async def lock(first: int, second: int, session: WriteSession) -> str:
            runs.append(first)
            await add_one(session, first)
            if len(runs) <= 2:
                await both_hold_one.wait()
            await add_one(session, second)
            return "done"

        one, other = (product.id for product in products)
        async with app_with(database, router) as client:
            responses = await asyncio.gather(client.post(f"/{one}/{other}"), client.post(f"/{other}/{one}"))

        assert [response.status_code for response in responses] == [200, 200]
        assert len(runs) == 3, f"the route ran {len(runs)} times for two requests and one deadlock"
        assert await stocks(session) == [12, 12]
        told = [each.changes["stock_quantity"] for each in await rows_of(session, AuditEntry)]
        assert sorted(told) == [[10, 11], [10, 11], [11, 12], [11, 12]]

    async def test_both_requests_succeed_after_a_commit_fails_to_serialize(
        self, backend: Backend, database: Database, session: AsyncSession, products: list[Product]
    ) -> None:
        if backend.name != "postgresql":
            pytest.skip("only PostgreSQL finds out as late as on commit")
        router, runs, both_have_read = new_router(), [], asyncio.Barrier(2)
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

        async with app_with(database, router) as client:
            responses = await asyncio.gather(*(client.post(f"/{product.id}") for product in products))

        assert [response.status_code for response in responses] == [200, 200]
        assert len(runs) == len(written) == 3  # both attempts wrote, so the commit failed
        assert sorted(response.json() for response in responses) == [
            20,
            30,
        ]  # as if the requests had come one after the other
        assert sorted(await stocks(session)) == [20, 30]

    @pytest.mark.parametrize("failure", [DEADLOCK, SERIALIZATION_FAILURE], ids=["deadlock", "serialization failure"])
    async def test_a_request_is_run_until_it_succeeds_and_nothing_is_done_twice(
        self,
        server_backend: Backend,
        database: Database,
        session: AsyncSession,
        products: list[Product],
        failure: dict[str, str],
    ) -> None:
        router, runs = new_router(), []

        @router.post("/{product_id}")
        async def add(product_id: int, session: WriteSession) -> int:
            runs.append(product_id)
            await add_one(session, product_id)
            if len(runs) < MAX_ATTEMPTS:
                await run(session, failure[server_backend.name])
            return len(runs)

        async with app_with(database, router) as client:
            response = await client.post(f"/{products[0].id}")

        assert (response.status_code, response.json()) == (200, MAX_ATTEMPTS)
        assert await stocks(session) == [11, 10]
        (entry,) = await rows_of(session, AuditEntry)
        assert entry.changes == {"stock_quantity": [10, 11]}

    @pytest.mark.parametrize("failure", [DEADLOCK, SERIALIZATION_FAILURE], ids=["deadlock", "serialization failure"])
    async def test_a_request_is_refused_after_the_last_attempt(
        self,
        server_backend: Backend,
        database: Database,
        session: AsyncSession,
        products: list[Product],
        failure: dict[str, str],
    ) -> None:
        router, runs = new_router(), []

        @router.post("/{product_id}")
        async def add(product_id: int, session: WriteSession) -> None:
            runs.append(product_id)
            await add_one(session, product_id)
            await run(session, failure[server_backend.name])

        began = monotonic()
        async with app_with(database, router) as client:
            response = await client.post(f"/{products[0].id}")
        took = monotonic() - began

        assert_refused(response, 503)
        assert int(response.headers["Retry-After"]) > 0
        assert len(runs) == MAX_ATTEMPTS
        assert took < 10, f"the refusal took {took:.1f} s"
        assert await stocks(session) == [10, 10]

    async def test_a_request_is_not_run_again_after_a_refusal_or_a_duplicate(
        self, database: Database, session: AsyncSession, products: list[Product]
    ) -> None:
        router, runs = new_router(), []

        @router.post("/refused/{product_id}")
        async def refuse(product_id: int, session: WriteSession) -> None:
            runs.append("refused")
            await add_one(session, product_id)
            raise Conflict("No.")

        @router.post("/duplicate/{product_id}")
        async def use_a_sku_again(product_id: int, session: WriteSession) -> None:
            runs.append("duplicate")
            await add_one(session, product_id)
            session.add(Product(name="Other", slug="other", sku=products[1].sku, price=Decimal(1)))

        async with app_with(database, router) as client:
            assert_refused(await client.post(f"/refused/{products[0].id}"), 409, "No.")
            assert_refused(
                await client.post(f"/duplicate/{products[0].id}"), 409, "A product with this sku already exists."
            )

        assert runs == ["refused", "duplicate"]
        assert await stocks(session) == [10, 10]


class TestDeadlockInSavepoint:
    """MariaDB ends the whole transaction, and its error only says that the savepoint does not exist.

    Code that went on would write without a transaction, and its changes could not be undone.
    """

    async def test_the_whole_transaction_is_run_again(
        self, server_backend: Backend, database: Database, session: AsyncSession, products: list[Product]
    ) -> None:
        router, runs, both_hold_one = new_router(), [], asyncio.Barrier(2)

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
        async with app_with(database, router) as client:
            responses = await asyncio.gather(client.post(f"/{one}/{other}"), client.post(f"/{other}/{one}"))

        assert [response.status_code for response in responses] == [200, 200]
        assert len(runs) == 3, f"the route ran {len(runs)} times for two requests and one deadlock"
        assert await stocks(session) == [12, 12]

    async def test_a_request_with_an_idempotency_key_is_run_again_and_stores_its_answer(
        self,
        server_backend: Backend,
        database: Database,
        session: AsyncSession,
        products: list[Product],
        customer: User,
    ) -> None:
        secret, _ = await a_token(session, customer)
        router, runs, both_hold_one = new_router(), [], asyncio.Barrier(2)

        @router.post("/{first}/{second}", dependencies=[Depends(current_user)])
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
        async with app_with(database, router) as client:
            responses = await asyncio.gather(send(client, one, other), send(client, other, one))
            again = [await send(client, one, other), await send(client, other, one)]

        assert [(response.status_code, response.json()) for response in responses] == [(200, one), (200, other)]
        assert len(runs) == 3, f"the route ran {len(runs)} times for two requests and one deadlock"
        assert await stocks(session) == [12, 12]
        keys = (await session.exec(select(IdempotencyKey).order_by(col(IdempotencyKey.key)))).all()
        assert [(key.key, key.status_code) for key in keys] == [(f"{each}", 200) for each in sorted([one, other])]
        assert [response.content for response in again] == [response.content for response in responses]
        assert {response.headers["Idempotent-Replayed"] for response in again} == {"true"}

    async def test_a_deadlock_of_a_notification_is_not_mistaken_for_a_notification_that_failed(
        self,
        server_backend: Backend,
        database: Database,
        session: AsyncSession,
        products: list[Product],
        customer: User,
        other_customer: User,
    ) -> None:
        """Each transaction locks the user whom the other transaction is about to notify."""
        router, runs, both_hold_one = new_router(), [], asyncio.Barrier(2)

        @router.post("/{product_id}/{locked}/{notified}")
        async def notify_user(product_id: int, locked: int, notified: int, session: WriteSession) -> str:
            runs.append(locked)
            await add_one(session, product_id)
            await session.exec(select(User.id).where(User.id == locked).with_for_update())
            if len(runs) <= 2:
                await both_hold_one.wait()
            kind = NotificationKind.CREDIT_RECEIVED
            await notify(session, notified, kind, f"From {locked}")
            await add_one(session, product_id)
            return "done"

        (one, other), (ann, bob) = (each.id for each in products), (customer.id, other_customer.id)
        async with app_with(database, router) as client:
            responses = await asyncio.gather(client.post(f"/{one}/{ann}/{bob}"), client.post(f"/{other}/{bob}/{ann}"))

        assert [response.status_code for response in responses] == [200, 200]
        assert len(runs) == 3, f"the route ran {len(runs)} times for two requests and one deadlock"
        assert await stocks(session) == [12, 12]
        notified = (await session.exec(select(col(Notification.user_id)).order_by(col(Notification.user_id)))).all()
        assert notified == sorted([ann, bob])


class TestRouteWithoutTransaction:
    async def test_a_route_of_a_plain_router_says_that_it_runs_without_a_transaction(self, database: Database) -> None:
        plain = APIRouter()

        @plain.post("/plain")
        async def write(session: WriteSession) -> None:
            await session.flush()

        async with app_with(database, plain) as client:
            with pytest.raises(RuntimeError, match=r"/plain runs without a transaction.*api\.web\.routing\.Router"):
                await client.post("/plain")
