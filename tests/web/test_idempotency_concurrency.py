"""Idempotency keys under concurrency: of many simultaneous requests with one key, one is done."""

import asyncio
from dataclasses import replace
from time import monotonic

from httpx import AsyncClient, Response
from sqlmodel import col, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.idempotency_key import IdempotencyKey
from api.models.order import Order
from api.models.product import Product
from api.models.user import User
from api.web.transactions import REQUEST_DEADLINE
from tests.books import assert_stock_equals_movements
from tests.databases import Backend
from tests.factories import a_category
from tests.support import assert_refused
from tests.web.idempotency_cases import (
    KEY,
    Case,
    Shop,
    assert_answered_once,
    assert_replayed,
    count_rows,
    difference,
    figures,
    send,
)
from tests.web.support import connections_in_use, open_transaction


async def wait_until_in_use(database: Database, *, writes: int, others: int) -> None:
    """Wait until so many connections are in use. SQLite has one write slot, so only one write has a connection."""
    expected = others + (1 if database.backend == "sqlite" else writes)
    async with asyncio.timeout(10):
        while connections_in_use(database) < expected:  # noqa: ASYNC110 - the pool has no event for it
            await asyncio.sleep(0.01)


class TestTwentyFiveRequestsAtOnce:
    async def test_simultaneous_requests_with_one_key_have_the_effect_of_one_request(
        self, as_staff: AsyncClient, session: AsyncSession, case: Case
    ) -> None:
        before = await figures(session, case)
        responses = await asyncio.gather(*(send(as_staff, case) for _ in range(25)))
        after = await figures(session, case)
        await send(as_staff, case, key="another")

        of_many, of_one = difference(before, after), difference(after, await figures(session, case))
        assert of_many == of_one, (
            f"25 requests with one key changed the figures by {of_many}, one changes them by {of_one}"
        )
        assert_answered_once(responses, 201)

    async def test_simultaneous_requests_with_one_key_all_get_the_same_refusal(
        self, as_staff: AsyncClient, session: AsyncSession, case: Case
    ) -> None:
        before = await figures(session, case)

        responses = await asyncio.gather(*(send(as_staff, case.refused) for _ in range(25)))

        assert await figures(session, case) == before, "refused requests changed the figures"
        assert_answered_once(responses, case.refused_with)

    async def test_refused_requests_get_one_answer_while_what_they_lack_arrives(
        self, as_staff: AsyncClient, database: Database, session: AsyncSession, order_case: Case, shop: Shop
    ) -> None:
        """A refusal undoes its claim of the key: another request may take it, and succeed, before that is stored."""
        lacking = order_case.refused
        deliveries = [{"delta": 250, "reason": f"Delivery {number}"} for number in range(4)]
        before = await figures(session, order_case)

        async def deliver() -> None:
            for delivery in deliveries:
                await asyncio.sleep(0.02)
                assert (await as_staff.post(f"/products/{shop.product.id}/stock", json=delivery)).status_code == 201

        delivering = asyncio.create_task(deliver())
        responses = await asyncio.gather(*(send(as_staff, lacking) for _ in range(25)))
        await delivering

        (status,) = {response.status_code for response in responses}
        assert_answered_once(responses, status)
        assert await count_rows(session, Order) == before[-1] + (status == 201)
        await assert_stock_equals_movements(session)

    async def test_one_of_two_simultaneous_bodies_under_one_key_is_done_and_the_other_refused(
        self, as_staff: AsyncClient, session: AsyncSession, case: Case
    ) -> None:
        other = replace(case, body=case.other_body)
        before = await count_rows(session, case.adds)

        responses = await asyncio.gather(*(send(as_staff, other if number % 2 else case) for number in range(25)))

        assert await count_rows(session, case.adds) == before + 1
        done, late = sorted((responses[0::2], responses[1::2]), key=lambda answers: answers[0].status_code)
        assert_answered_once(done, 201)
        for response in late:
            assert_refused(response, 422, "header.Idempotency-Key")


class TestRequestInProgress:
    async def test_the_second_request_waits_for_the_answer_of_the_first(
        self, as_staff: AsyncClient, database: Database, session: AsyncSession, order_case: Case, shop: Shop
    ) -> None:
        before = await count_rows(session, Order)
        sell_out = update(Product).where(col(Product.id) == shop.product.id).values(stock_quantity=0)
        async with asyncio.TaskGroup() as tasks, open_transaction(database, statement=sell_out):
            requests = [tasks.create_task(send(as_staff, order_case)) for _ in range(2)]
            await wait_until_in_use(database, writes=2, others=2)  # the open transaction, and `session`
            assert not any(request.done() for request in requests)

        responses = sorted(
            (request.result() for request in requests), key=lambda each: "Idempotent-Replayed" in each.headers
        )
        assert_replayed(responses[1], responses[0])
        assert responses[0].status_code == 201
        assert await count_rows(session, Order) == before + 1

    async def test_the_second_request_is_refused_when_the_first_takes_long(
        self, as_staff: AsyncClient, staff: User, database: Database, backend: Backend, order_case: Case
    ) -> None:
        claimed = IdempotencyKey(user_id=staff.id, route="POST /orders", key=KEY, fingerprint="first")
        async with open_transaction(database, row=claimed):
            began = monotonic()
            response = await send(as_staff, order_case)
            took = monotonic() - began

        # SQLite has one lock for all writes, so the second request cannot know that it waits for a key.
        assert_refused(response, 503 if backend.name == "sqlite" else 409)
        assert int(response.headers["Retry-After"]) > 0
        assert 2.5 < took < REQUEST_DEADLINE, f"the refusal took {took:.1f} s"

    async def test_the_second_request_is_done_when_the_first_is_rolled_back(
        self, as_staff: AsyncClient, staff: User, database: Database, session: AsyncSession, order_case: Case
    ) -> None:
        before = await count_rows(session, Order)
        claimed = IdempotencyKey(user_id=staff.id, route="POST /orders", key=KEY, fingerprint="first")
        async with asyncio.TaskGroup() as tasks, open_transaction(database, row=claimed):
            request = tasks.create_task(send(as_staff, order_case))
            await wait_until_in_use(database, writes=1, others=2)

        assert request.result().status_code == 201
        assert "Idempotent-Replayed" not in request.result().headers
        assert await count_rows(session, Order) == before + 1

    async def test_one_of_many_waiting_requests_is_done_when_the_first_is_rolled_back(
        self, as_staff: AsyncClient, staff: User, database: Database, session: AsyncSession, order_case: Case
    ) -> None:
        """On MariaDB all waiting requests then get a shared lock, and they deadlock."""
        before = await count_rows(session, Order)
        claimed = IdempotencyKey(user_id=staff.id, route="POST /orders", key=KEY, fingerprint="first")
        async with asyncio.TaskGroup() as tasks, open_transaction(database, row=claimed):
            requests = [tasks.create_task(send(as_staff, order_case)) for _ in range(5)]
            await wait_until_in_use(database, writes=5, others=2)

        responses = [request.result() for request in requests]
        assert {response.status_code for response in responses} == {201}
        assert len({response.content for response in responses}) == 1
        assert await count_rows(session, Order) == before + 1


class TestGeneratedSlugs:
    async def test_products_of_one_name_each_get_a_slug_under_keys_of_their_own(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        """A collision of slugs that nobody sent is no refusal: the request is run again, and gets another slug."""
        shelves = [await a_category(session) for _ in range(6)]

        async def add(number: int) -> Response:
            product = {"name": "Lamp", "price": 1, "sku": f"L-{number}", "category_id": shelves[number].id}
            return await as_staff.post("/products", json=product, headers={"Idempotency-Key": f"lamp-{number}"})

        created = await asyncio.gather(*(add(number) for number in range(6)))

        assert [each.status_code for each in created] == [201] * 6, [each.text for each in created]
        assert len({each.json()["slug"] for each in created}) == 6
