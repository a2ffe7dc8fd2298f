"""POST /orders: an order that is refused changes nothing in the database."""

from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.types import MAX_ID
from tests.books import stock_of
from tests.factories import a_product, order_body
from tests.routes.orders.support import place_order
from tests.seed import all_rows
from tests.support import assert_refused


class TestRefusedOrder:
    async def test_an_order_is_refused_when_stock_is_short(
        self, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        common = await a_product(session, stock_quantity=100)
        rare = await a_product(session, "Rare", stock_quantity=2, sku="RARE")
        before = await all_rows(session)

        response = await as_customer.post("/orders", json=order_body((common, 5), (rare, 3)))

        assert_refused(response, 409, "The stock of Rare (RARE) is 2, less than the order needs.")
        assert await all_rows(session) == before

    @pytest.mark.parametrize("product_id", [1_000_000, MAX_ID])
    async def test_an_order_of_a_product_that_does_not_exist_is_refused(
        self, as_customer: AsyncClient, session: AsyncSession, product_id: int
    ) -> None:
        product = await a_product(session, stock_quantity=5)
        before = await all_rows(session)
        body = order_body((product, 1))
        body["items"].append({"product_id": product_id, "quantity": 1})

        assert_refused(await as_customer.post("/orders", json=body), 422, "body.items")
        assert await all_rows(session) == before

    async def test_an_order_of_an_inactive_product_is_refused(
        self, as_customer: AsyncClient, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=5)
        inactive = await a_product(session, "Secret", stock_quantity=5, is_active=False)
        before = await all_rows(session)

        for client in (as_customer, as_staff):
            response = await client.post("/orders", json=order_body((product, 1), (inactive, 1)))
            assert_refused(response, 422, "body.items")
            assert "Secret" not in response.text
        assert await all_rows(session) == before

    async def test_an_order_is_refused_when_its_total_exceeds_the_limit(
        self, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        expensive = await a_product(session, stock_quantity=5, price="9999999999.99")
        cheap = await a_product(session, stock_quantity=5, price="0.01")
        before = await all_rows(session)

        for body in (order_body((expensive, 2)), order_body((expensive, 1), (cheap, 1))):
            assert_refused(await as_customer.post("/orders", json=body), 422, "body.items")
        assert await all_rows(session) == before
        assert (await place_order(as_customer, (expensive, 1)))["total_amount"] == "9999999999.99"

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"items": None}, "body.items"),
            ({"items": []}, "body.items"),
            ({"items": {}}, "body.items"),
            ({"items": [None]}, "body.items.0"),
            ({"items": [{}]}, "body.items.0.product_id"),
            ({"items": [{"product_id": 1}]}, "body.items.0.quantity"),
            ({"items": [{"product_id": 1, "quantity": 1, "price": 1}]}, "body.items.0.price"),
            ({"items": [{"product_id": 1, "quantity": 1}] * 101}, "body.items"),
            ({"user_id": 0}, "body.user_id"),
            ({"user_id": MAX_ID + 1}, "body.user_id"),
            ({"user_id": "me"}, "body.user_id"),
            ({"shipping_address": "x" * 501}, "body.shipping_address"),
            ({"shipping_address": "a\0b"}, "body.shipping_address"),
            ({"shipping_address": 1}, "body.shipping_address"),
            ({"status": "delivered"}, "body.status"),
            ({"total_amount": "0.01"}, "body.total_amount"),
            ({"order_number": "ORD-1"}, "body.order_number"),
            ({"paid_amount": "1.00"}, "body.paid_amount"),
            ({"colour": "red"}, "body.colour"),
        ],
        ids=lambda value: ascii(value)[:40],
    )
    async def test_an_order_with_bad_input_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession, change: dict[str, Any], field: str
    ) -> None:
        product = await a_product(session, stock_quantity=5)
        before = await all_rows(session)

        assert_refused(await as_staff.post("/orders", json={**order_body((product, 1)), **change}), 422, field)
        assert await all_rows(session) == before

    @pytest.mark.parametrize("quantity", [0, -1, 10_001, 1.5, "many", None, 10**30])
    async def test_an_order_with_an_invalid_quantity_is_refused(
        self, as_customer: AsyncClient, session: AsyncSession, quantity: Any
    ) -> None:
        product = await a_product(session, stock_quantity=50_000)
        before = await all_rows(session)

        response = await as_customer.post("/orders", json=order_body((product, quantity)))

        assert_refused(response, 422, "body.items.0.quantity")
        assert await all_rows(session) == before

    @pytest.mark.parametrize("product_id", [0, -1, MAX_ID + 1, 1.5, "one", None])
    async def test_an_order_with_an_invalid_product_id_is_refused(
        self, as_customer: AsyncClient, session: AsyncSession, product_id: Any
    ) -> None:
        before = await all_rows(session)

        response = await as_customer.post("/orders", json={"items": [{"product_id": product_id, "quantity": 1}]})

        assert_refused(response, 422, "body.items.0.product_id")
        assert await all_rows(session) == before

    async def test_the_largest_possible_order_is_accepted(
        self, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=1_000_000, price="0.01")

        order = await place_order(as_customer, *[(product, 10_000)] * 100, shipping_address="🎧" * 500)

        assert (order["items"][0]["quantity"], order["total_amount"]) == (1_000_000, "10000.00")
        assert order["shipping_address"] == "🎧" * 500
        assert await stock_of(session, product) == 0
