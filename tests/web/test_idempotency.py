"""Idempotency keys: a request that is sent again is answered again, and not done again."""

import json
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from httpx import AsyncClient
from sqlmodel import col, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.errors import Unauthorized
from api.models.account import Account
from api.models.base import utcnow
from api.models.idempotency_key import IdempotencyKey
from api.models.order import Order
from api.models.payment import Payment
from api.models.product import Product
from api.models.types import MAX_ID
from api.models.user import User
from api.web import stored_answers
from api.web.stored_answers import Key, claim
from tests.factories import a_product, an_idempotency_key, order_body
from tests.support import assert_refused
from tests.web.idempotency_cases import CASES, KEY, Case, Shop, assert_replayed, count_rows, send, stored_keys
from tests.web.support import open_transaction

MALFORMED_KEYS = {
    "empty": b"",
    "256 characters": b"x" * 256,
    "a space": b"a b",
    "a tab": b"a\tb",
    "a control character": b"a\x01b",
    "a DEL": b"a\x7fb",
    "a letter beyond ASCII": "schlüssel".encode(),
    "not UTF-8": b"\xff",
    "an emoji": "🔑".encode(),
}


class TestRepeatedRequest:
    async def test_a_repeated_request_is_done_once_and_gets_the_same_answer(
        self, as_staff: AsyncClient, session: AsyncSession, case: Case
    ) -> None:
        before = await count_rows(session, case.adds)

        first, *others = [await send(as_staff, case) for _ in range(3)]

        assert first.status_code == 201
        for again in others:
            assert_replayed(again, first)
        assert await count_rows(session, case.adds) == before + 1

    async def test_the_answer_is_stored_with_its_key(
        self, as_staff: AsyncClient, staff: User, session: AsyncSession, route: str, case: Case
    ) -> None:
        response = await send(as_staff, case)

        (stored,) = await stored_keys(session)
        assert (stored.user_id, stored.route, stored.key) == (staff.id, route, KEY)
        assert (stored.status_code, stored.body) == (201, response.text)

    async def test_a_refusal_is_repeated_although_the_request_would_now_succeed(
        self, as_staff: AsyncClient, session: AsyncSession, case: Case
    ) -> None:
        before = await count_rows(session, case.adds)
        first = await send(as_staff, case.refused)
        assert_refused(first, case.refused_with)

        # Now there is enough of everything.
        await session.exec(update(Product).values(stock_quantity=10_000))
        await session.exec(update(Order).values(total_amount=Decimal(1_000)))
        await session.exec(update(Payment).values(amount=Decimal(1_000)))
        await session.exec(update(Account).values(balance=Decimal(1_000)))

        assert_replayed(await send(as_staff, case.refused), first)
        assert await count_rows(session, case.adds) == before

    async def test_a_refusal_undoes_the_changes_that_were_made_before_it(
        self, as_staff: AsyncClient, session: AsyncSession, order_case: Case, shop: Shop
    ) -> None:
        scarce = await a_product(session, "Vase", stock_quantity=1)
        two_of_each = replace(order_case, body=order_body((shop.product, 2), (scarce, 2)))
        orders = await count_rows(session, Order)

        first = await send(as_staff, two_of_each)

        assert_refused(first, 409, "Vase")
        assert_replayed(await send(as_staff, two_of_each), first)
        for product, stock in ((scarce, 1), (shop.product, 100)):
            await session.refresh(product)
            assert product.stock_quantity == stock
        assert await count_rows(session, Order) == orders

    async def test_each_request_without_a_key_is_done_and_no_answer_is_stored(
        self, as_staff: AsyncClient, session: AsyncSession, case: Case
    ) -> None:
        before = await count_rows(session, case.adds)

        responses = [await send(as_staff, case, key=None) for _ in range(2)]

        assert [response.status_code for response in responses] == [201, 201]
        assert all("Idempotent-Replayed" not in response.headers for response in responses)
        assert await count_rows(session, case.adds) == before + 2
        assert await stored_keys(session) == []


class TestOtherRequest:
    async def test_another_request_under_the_same_key_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession, case: Case
    ) -> None:
        first = await send(as_staff, case)
        before = await count_rows(session, case.adds)

        other = await send(as_staff, replace(case, body=case.refused_body, path=case.refused_path))

        assert_refused(other, 422, "header.Idempotency-Key")
        assert await count_rows(session, case.adds) == before
        assert_replayed(await send(as_staff, case), first)

    async def test_the_same_body_for_another_row_under_the_same_key_is_refused(
        self, as_staff: AsyncClient, shop: Shop, session: AsyncSession
    ) -> None:
        deposit = CASES["POST /accounts/{id}/deposits"](shop)
        await send(as_staff, deposit)

        other = await send(as_staff, replace(deposit, path=f"/accounts/{shop.own_account.id}/deposits"))

        assert_refused(other, 422, "header.Idempotency-Key")

    async def test_the_same_key_of_another_user_is_another_key(
        self, as_staff: AsyncClient, as_customer: AsyncClient, session: AsyncSession, order_case: Case
    ) -> None:
        first, other = await send(as_staff, order_case), await send(as_customer, order_case)

        assert (first.status_code, other.status_code) == (201, 201)
        assert "Idempotent-Replayed" not in other.headers
        assert first.json()["id"] != other.json()["id"]

    async def test_the_same_key_on_another_route_is_another_key(
        self, as_staff: AsyncClient, session: AsyncSession, shop: Shop
    ) -> None:
        responses = [await send(as_staff, make(shop)) for make in CASES.values()]

        assert [response.status_code for response in responses] == [201] * len(CASES)
        assert all("Idempotent-Replayed" not in response.headers for response in responses)
        assert sorted(each.route for each in await stored_keys(session)) == sorted(CASES)

    async def test_the_same_request_under_another_key_is_done(
        self, as_staff: AsyncClient, session: AsyncSession, order_case: Case
    ) -> None:
        before = await count_rows(session, Order)

        for key in ("a", "A", "b", "~" * 255):  # keys are compared by case, too
            response = await send(as_staff, order_case, key)
            assert response.status_code == 201
            assert "Idempotent-Replayed" not in response.headers
        assert await count_rows(session, Order) == before + 4


class TestUnusedKey:
    async def test_an_invalid_request_leaves_its_key_unused(
        self, as_staff: AsyncClient, session: AsyncSession, case: Case
    ) -> None:
        response = await send(as_staff, replace(case, body={**case.body, "colour": "red"}))

        assert_refused(response, 422, "body.colour")
        assert await stored_keys(session) == []
        done = await send(as_staff, case)
        assert done.status_code == 201
        assert "Idempotent-Replayed" not in done.headers

    async def test_a_body_that_is_not_json_leaves_its_key_unused(
        self, as_staff: AsyncClient, session: AsyncSession, order_case: Case
    ) -> None:
        headers = {"Idempotency-Key": KEY, "Content-Type": "application/json"}

        assert_refused(await as_staff.post("/orders", content=b"{", headers=headers), 422)
        assert await stored_keys(session) == []
        assert (await send(as_staff, order_case)).status_code == 201

    async def test_a_caller_who_is_not_signed_in_leaves_the_key_unused(
        self, client: AsyncClient, session: AsyncSession, case: Case
    ) -> None:
        assert_refused(await send(client, case), 401)
        assert await stored_keys(session) == []

    async def test_a_busy_database_leaves_the_key_unused(
        self, as_staff: AsyncClient, database: Database, session: AsyncSession, order_case: Case, shop: Shop
    ) -> None:
        sell_out = update(Product).where(col(Product.id) == shop.product.id).values(stock_quantity=0)
        async with open_transaction(database, statement=sell_out):
            busy = await send(as_staff, order_case)
        assert_refused(busy, 503)
        assert int(busy.headers["Retry-After"]) > 0
        assert await stored_keys(session) == []

        done = await send(as_staff, order_case)

        assert done.status_code == 201
        assert "Idempotent-Replayed" not in done.headers


class TestKey:
    @pytest.mark.parametrize("key", MALFORMED_KEYS.values(), ids=MALFORMED_KEYS)
    async def test_a_malformed_key_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession, order_case: Case, key: bytes
    ) -> None:
        before = await count_rows(session, Order)

        assert_refused(await send(as_staff, order_case, key), 422, "header.Idempotency-Key")
        assert await count_rows(session, Order) == before
        assert await stored_keys(session) == []

    async def test_a_key_is_not_stored_by_a_route_that_takes_none(
        self, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        response = await as_customer.get("/orders", headers={"Idempotency-Key": KEY})

        assert response.status_code == 200
        assert await stored_keys(session) == []

    async def test_keys_older_than_thirty_days_are_purged(
        self, as_staff: AsyncClient, staff: User, database: Database, session: AsyncSession, order_case: Case
    ) -> None:
        await send(as_staff, order_case)
        for days in (29, 31, 400):
            created_at = utcnow() - timedelta(days=days)
            await an_idempotency_key(session, staff, key=f"{days} days", created_at=created_at)

        async with database.writes() as writing, writing.begin():
            purged = await stored_answers.purge(writing)

        assert purged == 2
        assert [each.key for each in await stored_keys(session)] == [KEY, "29 days"]

    async def test_a_key_of_a_user_who_was_deleted_meanwhile_is_refused(
        self, database: Database, session: AsyncSession
    ) -> None:
        key = Key(user_id=MAX_ID, route="POST /orders", key=KEY)
        async with database.writes() as writing:
            with pytest.raises(Unauthorized):
                await claim(writing, key, "f")

        assert await stored_keys(session) == []

    async def test_a_purged_key_can_be_used_again(
        self, as_staff: AsyncClient, database: Database, session: AsyncSession, order_case: Case
    ) -> None:
        first = await send(as_staff, order_case)
        await session.exec(update(IdempotencyKey).values(created_at=utcnow() - timedelta(days=31)))
        async with database.writes() as writing, writing.begin():
            await stored_answers.purge(writing)

        again = await send(as_staff, order_case)

        assert again.status_code == 201
        assert again.json()["id"] != first.json()["id"]

    async def test_an_answer_with_any_characters_is_repeated_byte_for_byte(
        self, as_staff: AsyncClient, session: AsyncSession, order_case: Case
    ) -> None:
        address = "Straße 1, Łódź 🏠 \\ \" '"
        order = replace(order_case, body={**order_case.body, "shipping_address": address})

        first = await send(as_staff, order)

        assert_replayed(await send(as_staff, order), first)
        assert json.loads(first.content)["shipping_address"] == address
