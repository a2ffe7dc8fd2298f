"""POST /products/bulk: adding many products, all or none."""

from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.product import Product
from api.models.stock_movement import StockMovement
from api.models.user import User
from tests.books import movements_of, rows_of
from tests.factories import a_category, a_product
from tests.routes.products.support import product_body, short, stored_skus
from tests.support import assert_refused, count_statements


class TestCreateProductsInBulk:
    async def test_staff_can_add_many_products_with_their_stock(
        self, as_staff: AsyncClient, staff: User, session: AsyncSession
    ) -> None:
        category = await a_category(session)
        sent = [
            product_body(name=f"P {number}", sku=f"S-{number}", stock_quantity=number, category_id=category.id)
            for number in range(20)
        ]

        response = await as_staff.post("/products/bulk", json=sent)

        assert response.status_code == 201
        assert [each["sku"] for each in response.json()] == [each["sku"] for each in sent]
        products = await rows_of(session, Product)
        assert [product.stock_quantity for product in products] == list(range(20))
        for product in products:
            stock = product.stock_quantity
            assert await movements_of(session, product) == ([(stock, "initial", None)] if stock else [])

    async def test_products_with_equal_names_get_different_slugs(self, as_staff: AsyncClient) -> None:
        response = await as_staff.post("/products/bulk", json=[product_body(sku=f"S-{number}") for number in range(5)])

        assert len({each["slug"] for each in response.json()}) == 5

    @pytest.mark.parametrize(
        ("wrong", "status", "detail"),
        [
            ({"price": 0}, 422, "body.2.price"),
            ({"sku": "S-0"}, 409, "A product with this sku already exists."),
            ({"sku": "TAKEN"}, 409, "A product with this sku already exists."),
            ({"slug": "taken"}, 409, "A product with this slug already exists."),
            ({"category_id": 1_000_000}, 422, "category_id"),
            ({"colour": "red"}, 422, "body.2.colour"),
            ({"name": "P 0"}, 409, "A product with this category_id and name already exists."),
        ],
        ids=short,
    )
    async def test_no_product_is_added_when_one_of_them_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession, wrong: dict[str, Any], status: int, detail: str
    ) -> None:
        await a_product(session, sku="TAKEN", slug="taken")
        category = await a_category(session)
        sent = [
            product_body(name=f"P {number}", sku=f"S-{number}", stock_quantity=5, category_id=category.id)
            for number in range(3)
        ]
        sent[2] |= wrong

        assert_refused(await as_staff.post("/products/bulk", json=sent), status, detail)

        assert await stored_skus(session) == ["TAKEN"]
        assert (await session.exec(select(StockMovement))).all() == []

    @pytest.mark.parametrize(
        "body", [[], {}, None, [None], [[]], [product_body(sku=f"S-{number}") for number in range(501)]], ids=short
    )
    async def test_a_body_that_is_not_a_list_of_1_to_500_products_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession, body: Any
    ) -> None:
        assert_refused(await as_staff.post("/products/bulk", json=body), 422, "body")
        assert await stored_skus(session) == []

    async def test_500_products_are_added_in_fewer_than_20_statements(
        self, as_staff: AsyncClient, session: AsyncSession, database: Database
    ) -> None:
        sent = [product_body(name=f"P {number}", sku=f"S-{number}", stock_quantity=1) for number in range(500)]

        with count_statements(database) as statements:
            response = await as_staff.post("/products/bulk", json=sent)

        assert response.status_code == 201
        assert len(await stored_skus(session)) == 500
        if database.engine.dialect.name != "sqlite":  # a statement on SQLite is not a round trip
            assert len(statements) < 20

    async def test_only_staff_can_add_products_in_bulk(
        self, client: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        assert_refused(await client.post("/products/bulk", json=[product_body()]), 401)
        assert_refused(await as_customer.post("/products/bulk", json=[product_body()]), 403)
        assert await stored_skus(session) == []
