"""POST /products/{id}/stock: changing the stock by an adjustment."""

import asyncio
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.product import MAX_STOCK
from api.models.stock_movement import StockMovement
from api.models.types import MAX_ID
from api.models.user import User
from tests.books import assert_stock_equals_movements, stock_of
from tests.factories import a_product
from tests.routes.products.support import deltas, short
from tests.support import assert_refused


class TestChangeStock:
    async def test_staff_can_add_and_remove_units(
        self, as_staff: AsyncClient, staff: User, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=10)

        for delta, left in ((25, 35), (-30, 5), (-5, 0), (1, 1)):
            response = await as_staff.post(
                f"/products/{product.id}/stock", json={"delta": delta, "reason": " Counted again "}
            )
            assert response.status_code == 201
            body = response.json()
            assert (body["product_id"], body["delta"], body["reason"]) == (product.id, delta, "adjustment")
            assert (body["note"], body["user_id"], body["order_id"]) == ("Counted again", staff.id, None)
            movement = await session.get(StockMovement, body["id"])
            assert movement is not None
            assert (movement.delta, movement.note, movement.user_id) == (delta, "Counted again", staff.id)
            assert await stock_of(session, product) == left

        assert await deltas(session, product) == [10, 25, -30, -5, 1]

    @pytest.mark.parametrize(("stock", "delta"), [(0, -1), (10, -11), (10, -MAX_STOCK), (MAX_STOCK, 1), (1, MAX_STOCK)])
    async def test_a_change_beyond_the_limits_of_the_stock_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession, stock: int, delta: int
    ) -> None:
        product = await a_product(session, stock_quantity=stock)

        response = await as_staff.post(f"/products/{product.id}/stock", json={"delta": delta, "reason": "Counted"})

        assert_refused(response, 409, "The stock must stay between 0 and 1,000,000,000.")
        assert await stock_of(session, product) == stock
        assert sum(await deltas(session, product)) == stock

    @pytest.mark.parametrize(("stock", "delta"), [(0, MAX_STOCK), (MAX_STOCK, -MAX_STOCK)])
    async def test_the_stock_can_reach_each_of_its_limits(
        self, as_staff: AsyncClient, session: AsyncSession, stock: int, delta: int
    ) -> None:
        product = await a_product(session, stock_quantity=stock)

        response = await as_staff.post(f"/products/{product.id}/stock", json={"delta": delta, "reason": "Counted"})

        assert response.status_code == 201
        assert await stock_of(session, product) == stock + delta

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("delta", 0),
            ("delta", None),
            ("delta", 1.5),
            ("delta", "many"),
            ("delta", MAX_STOCK + 1),
            ("delta", -MAX_STOCK - 1),
            ("delta", 10**30),
            ("reason", None),
            ("reason", ""),
            ("reason", "  "),
            ("reason", "x" * 201),
            ("reason", "a\0b"),
            ("reason", 1),
            ("product_id", 1),
            ("user_id", 1),
            ("note", "x"),
        ],
        ids=short,
    )
    async def test_an_invalid_field_is_refused_and_the_stock_stays(
        self, as_staff: AsyncClient, session: AsyncSession, field: str, value: Any
    ) -> None:
        product = await a_product(session, stock_quantity=10)

        response = await as_staff.post(
            f"/products/{product.id}/stock", json={"delta": 1, "reason": "Counted", field: value}
        )

        assert_refused(response, 422, f"body.{field}")
        assert await stock_of(session, product) == 10
        assert await deltas(session, product) == [10]

    @pytest.mark.parametrize("field", ["delta", "reason"])
    async def test_delta_and_reason_are_required(
        self, as_staff: AsyncClient, session: AsyncSession, field: str
    ) -> None:
        product = await a_product(session, stock_quantity=10)
        sent = {"delta": 1, "reason": "Counted"}
        del sent[field]

        assert_refused(await as_staff.post(f"/products/{product.id}/stock", json=sent), 422, f"body.{field}")

    async def test_only_staff_can_change_the_stock(
        self, client: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=10)
        sent = {"delta": 1, "reason": "Mine"}

        assert_refused(await client.post(f"/products/{product.id}/stock", json=sent), 401)
        assert_refused(await as_customer.post(f"/products/{product.id}/stock", json=sent), 403)
        assert await stock_of(session, product) == 10

    @pytest.mark.parametrize("product_id", [1_000_000, MAX_ID])
    async def test_the_stock_of_a_product_that_does_not_exist_cannot_be_changed(
        self, as_staff: AsyncClient, product_id: int
    ) -> None:
        response = await as_staff.post(f"/products/{product_id}/stock", json={"delta": 1, "reason": "Counted"})

        assert_refused(response, 404, "no such product")

    async def test_the_stock_of_an_inactive_product_can_be_changed(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=10)
        await as_staff.patch(f"/products/{product.id}", json={"is_active": False})

        response = await as_staff.post(f"/products/{product.id}/stock", json={"delta": -10, "reason": "Scrapped"})

        assert response.status_code == 201
        assert await stock_of(session, product) == 0

    async def test_a_repeated_idempotency_key_changes_the_stock_once(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=10)
        sent, headers = {"delta": 5, "reason": "Delivery"}, {"Idempotency-Key": "delivery-12"}

        first, second = [
            await as_staff.post(f"/products/{product.id}/stock", json=sent, headers=headers) for _ in range(2)
        ]

        assert (first.status_code, second.status_code) == (201, 201)
        assert first.content == second.content
        assert second.headers["Idempotent-Replayed"] == "true"
        assert await deltas(session, product) == [10, 5]

    async def test_simultaneous_removals_take_exactly_the_units_in_stock(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=10)
        sent = {"delta": -1, "reason": "Counted"}

        responses = await asyncio.gather(
            *(as_staff.post(f"/products/{product.id}/stock", json=sent) for _ in range(16))
        )

        assert sorted(response.status_code for response in responses) == [201] * 10 + [409] * 6
        assert await stock_of(session, product) == 0
        assert await deltas(session, product) == [10] + [-1] * 10

    async def test_simultaneous_additions_and_removals_lose_no_units(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=100)

        responses = await asyncio.gather(
            *(
                as_staff.post(f"/products/{product.id}/stock", json={"delta": delta, "reason": "Counted"})
                for delta in [3, -2] * 10
            )
        )

        assert {response.status_code for response in responses} == {201}
        assert await stock_of(session, product) == 110
        await assert_stock_equals_movements(session)
