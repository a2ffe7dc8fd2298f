"""/products: access to every route, listing and reading."""

from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.types import MAX_ID
from tests import world
from tests.factories import a_category, a_product
from tests.lists import EMPTY_PAGE, names
from tests.routes.products.support import short
from tests.support import assert_refused, count_statements

ACCESS = """
                                              nobody  owner  other  staff
GET    /products                                 200    200    200    200
GET    /products  (inactive ones)                403    403    403    200
GET    /products/stats/by-category               200    200    200    200
GET    /products/low-stock                       401    403    403    200
GET    /products/by-sku/{sku}                    200    200    200    200
GET    /products/by-sku/{sku}  (inactive)        404    404    404    200
GET    /products/by-slug/{slug}                  200    200    200    200
GET    /products/by-slug/{slug}  (inactive)      404    404    404    200
GET    /products/{id}                            200    200    200    200
GET    /products/{id}  (inactive)                404    404    404    200
POST   /products                                 401    403    403    201
POST   /products/bulk                            401    403    403    201
PUT    /products/{id}                            401    403    403    200
PATCH  /products/{id}                            401    403    403    200
DELETE /products/{id}                            401    403    403    204
POST   /products/{id}/stock                      401    403    403    201
GET    /products/{id}/movements                  401    403    403    200
"""

GADGET = {"name": "Gadget", "sku": "G-1", "price": "9.99"}

REQUESTS: dict[str, dict[str, Any]] = {
    "GET /products (inactive ones)": {"params": {"is_active": False}},
    "GET /products/by-sku/{sku} (inactive)": {"sku": world.PRIVATE.upper()},
    "GET /products/by-slug/{slug}": {"slug": "wh-9"},
    "GET /products/by-slug/{slug} (inactive)": {"slug": world.PRIVATE},
    "GET /products/{id} (inactive)": {"id": world.INACTIVE_PRODUCT},
    "POST /products": {"json": GADGET},
    "POST /products/bulk": {"json": [GADGET]},
    "PUT /products/{id}": {"json": GADGET},
    "PATCH /products/{id}": {"json": {"price": "1.00"}},
    "POST /products/{id}/stock": {"json": {"delta": 1, "reason": "Found one"}},
}
"""What is sent on a line of `ACCESS`, and what stands in the path where it is not the row of the world."""


class TestListProducts:
    async def test_the_list_is_empty_in_a_new_shop(self, client: AsyncClient) -> None:
        response = await client.get("/products")

        assert response.json() == EMPTY_PAGE

    async def test_each_product_is_listed_with_all_its_fields_and_its_category(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        category = await a_category(session, "Audio Players")
        attributes = {"colour": "black"}
        product = await a_product(session, "Headphones", category, stock_quantity=7, attributes=attributes)

        (item,) = (await client.get("/products")).json()["items"]

        assert item.keys() == {
            "id",
            "name",
            "slug",
            "sku",
            "description",
            "price",
            "stock_quantity",
            "is_active",
            "attributes",
            "category_id",
            "category",
            "created_at",
            "updated_at",
        }
        assert (item["id"], item["price"], item["stock_quantity"]) == (product.id, "9.99", 7)
        assert item["attributes"] == {"colour": "black"}
        assert (item["category"]["id"], item["category"]["name"]) == (category.id, "Audio Players")

    async def test_a_product_without_a_category_is_listed_with_null(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        await a_product(session)

        (item,) = (await client.get("/products")).json()["items"]

        assert (item["category_id"], item["category"]) == (None, None)

    async def test_inactive_products_are_listed_for_staff_only(
        self, client: AsyncClient, as_customer: AsyncClient, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        await a_product(session, "For sale")
        await a_product(session, "Inactive", is_active=False)

        for public in (client, as_customer):
            page = (await public.get("/products")).json()
            assert (names(page), page["total"]) == (["For sale"], 1)
            assert names((await public.get("/products", params={"cursor": ""})).json()) == ["For sale"]
            assert names((await public.get("/products", params={"is_active": True})).json()) == ["For sale"]
            assert names((await public.get("/products", params={"search": "inactive"})).json()) == []
        assert names((await as_staff.get("/products")).json()) == ["Inactive", "For sale"]

    async def test_an_invalid_token_is_refused(self, client: AsyncClient) -> None:
        response = await client.get("/products", headers={"Authorization": "Bearer shop_nonsense"})

        assert_refused(response, 401)
        assert response.headers["WWW-Authenticate"] == "Bearer"

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ({"search": "x" * 101}, "query.search"),
            ({"search": "a\0b"}, "query.search"),
            ({"category_id": 0}, "query.category_id"),
            ({"category_id": MAX_ID + 1}, "query.category_id"),
            ({"category_id": "audio"}, "query.category_id"),
            ({"min_price": -1}, "query.min_price"),
            ({"min_price": "0.001"}, "query.min_price"),
            ({"min_price": "NaN"}, "query.min_price"),
            ({"min_price": "1e400"}, "query.min_price"),
            ({"max_price": "inf"}, "query.max_price"),
            ({"max_price": "10000000000"}, "query.max_price"),
            ({"max_price": "cheap"}, "query.max_price"),
            ({"in_stock": "perhaps"}, "query.in_stock"),
            ({"sort": "colour"}, "query.sort"),
            ({"sort": "stock_quantity"}, "query.sort"),
            ({"page": 0}, "query.page"),
            ({"page": 10**30}, "query.page"),
            ({"page_size": 0}, "query.page_size"),
            ({"page_size": 101}, "query.page_size"),
            ({"cursor": "nonsense"}, "query.cursor"),
        ],
        ids=short,
    )
    async def test_an_invalid_query_parameter_is_refused(
        self, client: AsyncClient, query: dict[str, Any], field: str
    ) -> None:
        assert_refused(await client.get("/products", params=query), 422, field)

    @pytest.mark.parametrize("size", [1, 20])
    async def test_a_page_costs_one_statement_whatever_its_size(
        self, client: AsyncClient, session: AsyncSession, database: Database, size: int
    ) -> None:
        for _ in range(size):
            await a_product(session, category=await a_category(session))

        with count_statements(database) as statements:
            page = (await client.get("/products", params={"page_size": 100, "search": "product"})).json()
        assert len(statements) == 1
        assert len(page["items"]) == size
        assert all(item["category"] for item in page["items"])
        with count_statements(database) as statements:
            await client.get("/products", params={"page_size": 100, "cursor": ""})
        assert len(statements) == 1


class TestReadProduct:
    @pytest.mark.parametrize("path", ["/products/{0.id}", "/products/by-sku/{0.sku}", "/products/by-slug/{0.slug}"])
    async def test_anyone_can_read_an_active_product_with_its_category(
        self, client: AsyncClient, session: AsyncSession, database: Database, path: str
    ) -> None:
        category = await a_category(session, "Audio Players")
        await a_product(session, "Another", category)
        product = await a_product(session, "Headphones", category)

        with count_statements(database) as statements:
            response = await client.get(path.format(product))

        assert response.status_code == 200
        body = response.json()
        assert (body["id"], body["name"], body["category"]["name"]) == (product.id, "Headphones", "Audio Players")
        assert len(statements) == 1

    @pytest.mark.parametrize("path", ["/products/{0.id}", "/products/by-sku/{0.sku}", "/products/by-slug/{0.slug}"])
    async def test_an_inactive_product_is_found_by_staff_only(
        self, client: AsyncClient, as_customer: AsyncClient, as_staff: AsyncClient, session: AsyncSession, path: str
    ) -> None:
        product = await a_product(session, is_active=False)

        for public in (client, as_customer):
            assert_refused(await public.get(path.format(product)), 404, "no such product")
        assert (await as_staff.get(path.format(product))).json()["id"] == product.id

    @pytest.mark.parametrize(
        "path",
        [
            "/products/1000000",
            f"/products/{MAX_ID}",
            "/products/by-sku/NONE",
            "/products/by-sku/%ED%A0%80",
            "/products/by-slug/none",
            "/products/by-slug/100%25",
        ],
    )
    async def test_a_product_that_does_not_exist_is_not_found(self, client: AsyncClient, path: str) -> None:
        assert_refused(await client.get(path), 404, "no such product")

    async def test_a_slug_in_another_case_or_with_an_accent_is_not_found(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        await a_product(session, sku="WH-001", slug="headphones")

        assert_refused(await client.get("/products/by-slug/Headphones"), 404)
        assert_refused(await client.get("/products/by-slug/h%C3%A9adphones"), 404)

    @pytest.mark.parametrize(
        "path",
        [
            "/products/0",
            "/products/-1",
            f"/products/{MAX_ID + 1}",
            "/products/one",
            "/products/1.5",
            "/products/by-sku/a%00b",
            "/products/by-slug/a%00b",
            "/products/by-sku/" + "X" * 301,
        ],
        ids=short,
    )
    async def test_an_invalid_id_sku_or_slug_is_refused(self, client: AsyncClient, path: str) -> None:
        assert_refused(await client.get(path), 422, "path.")
