"""POST /products: adding one product."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.product import MAX_STOCK, Product
from api.models.stock_movement import StockMovement
from api.models.user import User
from tests.factories import a_category, a_product
from tests.routes.products.support import BAD_FIELDS, product_body, short, stored_skus
from tests.support import assert_refused

BAD_STOCK: list[tuple[str, Any]] = [("stock_quantity", each) for each in (None, -1, MAX_STOCK + 1, 1.5, "many", 10**30)]

BAD_BODIES = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"Headphones"',
    b"{}",
    b'{"name": "\xff", "sku": "WH-001", "price": 1}',
    b'{"name": "\\ud800", "sku": "WH-001", "price": 1}',
    b'{"name": "A", "sku": "WH-001", "price": NaN}',
    b'{"name": "A", "sku": "WH-001", "price": Infinity}',
    b'{"name": "A", "sku": "WH-001", "price": 1e400}',
    b'{"name": "A", "sku": "WH-001", "price": 1' + b"0" * 5_000 + b"}",
    b'{"name": "A", "sku": "WH-001", "price": 1, "attributes": {"a": NaN}}',
    b'{"name": "A", "sku": "WH-001", "price": 1, "attributes": {"a": [{"b": -Infinity}]}}',
    b'{"name": "A", "sku": "WH-001", "price": 1, "attributes": {"a": 1e400}}',
    b'{"name": "A", "sku": "WH-001", "price": 1, "attributes": {"a": "\\ud800"}}',
    b'{"name": "A", "sku": "WH-001", "price": 1, "attributes": {"\\udc00": 1}}',
    b'{"name": "A", "sku": "WH-001", "price": 1, "attributes": {"a": ' + b"[" * 4_000 + b"]" * 4_000 + b"}}",
    b'{"name": "A", "sku": "WH-001", "price": 1, "attributes": {"a": ' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}}",
    b"[" * 100_000,
]


class TestCreateProduct:
    async def test_staff_can_add_a_product_with_every_field(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        category = await a_category(session)
        sent = product_body(
            slug="cans",
            description="Thirty hours.",
            is_active=False,
            attributes={"colour": "black", "sizes": [1, 2.5, None, True, {"é": "🎧"}]},
            category_id=category.id,
            stock_quantity=50,
        )

        response = await as_staff.post("/products", json=sent)

        assert response.status_code == 201
        assert sent.items() <= response.json().items()
        product = await session.get(Product, response.json()["id"])
        assert product is not None
        assert {field: getattr(product, field) for field in sent} == {**sent, "price": Decimal("79.99")}
        read = (await as_staff.get(f"/products/{product.id}")).json()
        assert response.json().items() <= read.items()

    async def test_an_absent_field_gets_its_default(self, as_staff: AsyncClient) -> None:
        body = (await as_staff.post("/products", json=product_body())).json()

        assert (body["slug"], body["description"], body["is_active"]) == ("headphones", None, True)
        assert (body["attributes"], body["category_id"], body["stock_quantity"]) == ({}, None, 0)

    async def test_the_initial_stock_is_recorded_as_a_movement(
        self, as_staff: AsyncClient, staff: User, session: AsyncSession
    ) -> None:
        product_id = (await as_staff.post("/products", json=product_body(stock_quantity=50))).json()["id"]

        (movement,) = (await session.exec(select(StockMovement))).all()
        assert (movement.product_id, movement.delta, movement.reason) == (product_id, 50, "initial")
        assert (movement.user_id, movement.order_id) == (staff.id, None)

    async def test_a_product_without_initial_stock_gets_no_movement(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        await as_staff.post("/products", json=product_body(stock_quantity=0))

        assert (await session.exec(select(StockMovement))).all() == []

    async def test_only_staff_can_add_a_product(
        self, client: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        assert_refused(await client.post("/products", json=product_body()), 401)
        assert_refused(await as_customer.post("/products", json=product_body()), 403)
        assert await stored_skus(session) == []

    @pytest.mark.parametrize(
        ("price", "stored"),
        [
            ("0.01", "0.01"),
            (0.1, "0.10"),
            (79.99, "79.99"),
            (1, "1.00"),
            ("007.50", "7.50"),
            ("9999999999.99", "9999999999.99"),
        ],
    )
    async def test_the_price_is_stored_exactly_from_a_string_or_a_number(
        self, as_staff: AsyncClient, session: AsyncSession, price: Any, stored: str
    ) -> None:
        response = await as_staff.post("/products", json=product_body(price=price))

        assert response.json()["price"] == stored
        assert (await session.exec(select(col(Product.price)))).one() == Decimal(stored)

    @pytest.mark.parametrize(("field", "value"), BAD_FIELDS + BAD_STOCK, ids=short)
    async def test_an_invalid_field_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession, field: str, value: Any
    ) -> None:
        response = await as_staff.post("/products", json=product_body(**{field: value}))

        assert_refused(response, 422, f"body.{field}")
        assert await stored_skus(session) == []

    @pytest.mark.parametrize("body", BAD_BODIES, ids=short)
    async def test_a_malformed_body_is_refused(self, as_staff: AsyncClient, session: AsyncSession, body: bytes) -> None:
        response = await as_staff.post("/products", content=body, headers={"Content-Type": "application/json"})

        assert response.status_code in {400, 422}, response.text
        assert "body" in response.json()["detail"]
        assert await stored_skus(session) == []

    @pytest.mark.parametrize("field", ["sku", "slug"])
    async def test_a_sku_or_slug_that_is_in_use_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession, field: str
    ) -> None:
        await a_product(session, sku="WH-001", slug="headphones")
        sent = product_body(name="Other", sku="OTHER", slug="other")
        sent[field] = {"sku": "WH-001", "slug": "headphones"}[field]

        assert_refused(await as_staff.post("/products", json=sent), 409, f"A product with this {field} already exists.")
        assert await stored_skus(session) == ["WH-001"]

    async def test_a_name_that_is_in_use_in_the_same_category_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        one, other = await a_category(session), await a_category(session)
        for sku, category in (("A", one), ("B", other)):
            response = await as_staff.post("/products", json=product_body(sku=sku, category_id=category.id))
            assert response.status_code == 201

        response = await as_staff.post("/products", json=product_body(sku="C", category_id=one.id))

        assert_refused(response, 409, "A product with this category_id and name already exists.")
        assert await stored_skus(session) == ["A", "B"]

    async def test_a_generated_slug_that_is_in_use_gets_a_suffix(self, as_staff: AsyncClient) -> None:
        first, second = [await as_staff.post("/products", json=product_body(sku=sku)) for sku in ("A", "B")]

        assert first.json()["slug"] == "headphones"
        assert second.json()["slug"].startswith("headphones-")

    async def test_one_of_four_simultaneous_products_with_the_same_sku_is_added(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        for number in range(5):
            sent = [product_body(name=f"P {number} {each}", sku=f"S-{number}", stock_quantity=3) for each in range(4)]
            responses = await asyncio.gather(*(as_staff.post("/products", json=each) for each in sent))
            assert sorted(response.status_code for response in responses) == [201, 409, 409, 409]

        assert await stored_skus(session) == [f"S-{number}" for number in range(5)]
        assert len((await session.exec(select(StockMovement))).all()) == 5

    async def test_the_longest_values_are_stored_unchanged(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        longest = product_body(
            name="🎧" * 200,
            slug="x" * 120,
            sku="X" * 50,
            description="🎧" * 5_000,
            attributes={"text": "x" * 9_988},
            stock_quantity=MAX_STOCK,
        )
        assert len(json.dumps(longest["attributes"])) == 10_000

        response = await as_staff.post("/products", json=longest)

        assert response.status_code == 201
        stored = await session.get(Product, response.json()["id"])
        assert {field: getattr(stored, field) for field in longest} == {**longest, "price": Decimal("79.99")}
