"""Values that no database can store are refused: texts, ids and numbers."""

import pytest
from httpx import AsyncClient
from sqlmodel import func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.category import Category
from api.models.product import Product
from tests.support import assert_refused

JSON = {"Content-Type": "application/json"}

NOT_TEXT = {
    "NaN": b"NaN",
    "Infinity": b"-Infinity",
    "a number beyond a float": b"1e400",
    "a number of 4,000 digits": b"9" * 4_000,
    "a lone surrogate": b'"abc\\ud800"',
    "surrogates in the wrong order": b'"abc\\udc00\\ud800"',
    "a surrogate in UTF-8": b'"abc\xed\xa0\x80"',
    "a NUL": b'"abc\\u0000"',
    "800 nested lists": b"[" * 800 + b"]" * 800,
    "null": b"null",
    "true": b"true",
}

MALFORMED_ATTRIBUTES = {
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": [-Infinity]}',
    "a number beyond a float": b'{"a": 1e400}',
    "a NUL": b'{"a": ["b\\u0000"]}',
    "a NUL in a name": b'{"a": {"b\\u0000": 1}}',
    "too long": b'{"a": "' + b"x" * 10_000 + b'"}',
    "a list": b"[1]",
}


class TestValue:
    @pytest.mark.parametrize("name", NOT_TEXT.values(), ids=NOT_TEXT)
    async def test_a_value_that_is_not_text_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession, name: bytes
    ) -> None:
        before = (await session.exec(select(func.count()).select_from(Category))).one()

        response = await as_staff.post("/categories", content=b'{"name": ' + name + b"}", headers=JSON)

        assert_refused(response, 422, "body.name")
        assert (await session.exec(select(func.count()).select_from(Category))).one() == before

    @pytest.mark.parametrize("attributes", MALFORMED_ATTRIBUTES.values(), ids=MALFORMED_ATTRIBUTES)
    async def test_malformed_attributes_are_refused(
        self, as_staff: AsyncClient, session: AsyncSession, attributes: bytes
    ) -> None:
        content = b'{"name": "Lamp", "sku": "LAMP", "price": 1, "attributes": ' + attributes + b"}"

        assert_refused(await as_staff.post("/products", content=content, headers=JSON), 422, "body.attributes")
        assert (await session.exec(select(Product))).all() == []

    @pytest.mark.parametrize(
        "path",
        ["/orders/0", "/orders/-1", "/orders/9223372036854775808", f"/orders/{'9' * 4000}"],
        ids=["zero", "negative", "65 bits", "4,000 digits"],
    )
    async def test_an_id_out_of_range_is_refused(self, as_customer: AsyncClient, path: str) -> None:
        assert_refused(await as_customer.get(path), 422, "path.id")

    async def test_the_greatest_id_is_looked_up(self, as_customer: AsyncClient) -> None:
        assert_refused(await as_customer.get("/orders/9223372036854775807"), 404)

    async def test_text_of_any_language_is_stored_unchanged(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        name = "Łódź, 東京, 🏠, \U0010ffff, \u00e9, a\u200db"

        response = await as_staff.post("/categories", json={"name": name})

        assert response.json()["name"] == name
        assert (await session.exec(select(func.count()).where(Category.name == name))).one() == 1


class TestNumber:
    """JSON has one kind of number, so to JSON Schema 2.0 is an integer like 2."""

    async def test_a_number_without_a_fraction_is_an_integer(self, as_staff: AsyncClient) -> None:
        product = {"name": "Cable", "sku": "C-1", "price": 1.5, "stock_quantity": 3.0}
        created = await as_staff.post("/products", json=product)
        assert created.status_code == 201, created.text
        assert created.json()["stock_quantity"] == 3

        order = {"items": [{"product_id": float(created.json()["id"]), "quantity": 2.0}]}
        assert (await as_staff.post("/orders", json=order)).status_code == 201

    @pytest.mark.parametrize(
        "quantity", ["2.5", "1e400", "true", '"2"'], ids=["fraction", "too large", "boolean", "string"]
    )
    async def test_a_quantity_that_is_not_an_integer_is_refused(self, as_staff: AsyncClient, quantity: str) -> None:
        order = f'{{"items": [{{"product_id": 1, "quantity": {quantity}}}]}}'
        response = await as_staff.post("/orders", content=order, headers=JSON)
        assert_refused(response, 422, "body.items.0.quantity")

    @pytest.mark.parametrize("price", ["+1", "1_0", "NaN", "Infinity", "cheap"], ids=repr)
    async def test_a_number_in_a_url_is_written_as_in_json(self, client: AsyncClient, price: str) -> None:
        assert_refused(await client.get("/products", params={"min_price": price}), 422, "query.min_price")
        assert (await client.get("/products", params={"min_price": "1e1"})).status_code == 200
