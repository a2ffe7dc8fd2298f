"""PUT and PATCH /products/{id}: changing everything about a product but its stock."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.product import Product
from api.models.types import MAX_ID
from tests.books import stock_of
from tests.factories import a_category, a_product
from tests.routes.products.support import BAD_FIELDS, deltas, product_body, short
from tests.support import assert_refused


class TestReplaceProduct:
    async def test_absent_fields_are_cleared_except_slug_and_stock(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        category = await a_category(session)
        product = await a_product(
            session,
            slug="cans",
            description="Thirty hours.",
            attributes={"colour": "black"},
            category=category,
            stock_quantity=7,
            is_active=False,
        )

        response = await as_staff.put(f"/products/{product.id}", json=product_body())

        assert response.status_code == 200
        stored = await session.get(Product, product.id)
        assert stored is not None
        assert (stored.name, stored.sku, stored.price) == ("Headphones", "WH-001", Decimal("79.99"))
        assert (stored.description, stored.attributes, stored.category_id) == (None, {}, None)
        assert stored.is_active
        assert (stored.slug, stored.stock_quantity) == ("cans", 7)
        read = (await as_staff.get(f"/products/{product.id}")).json()
        assert response.json().items() <= read.items()

    async def test_every_field_that_is_sent_is_stored(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        category = await a_category(session)
        product = await a_product(session)
        sent = product_body(
            slug="cans", description="Thirty.", is_active=False, attributes={"a": [1]}, category_id=category.id
        )

        response = await as_staff.put(f"/products/{product.id}", json=sent)

        assert sent.items() <= response.json().items()

    @pytest.mark.parametrize(("field", "value"), [*BAD_FIELDS, ("stock_quantity", 5)], ids=short)
    async def test_an_invalid_field_is_refused_and_nothing_changes(
        self, as_staff: AsyncClient, session: AsyncSession, field: str, value: Any
    ) -> None:
        product = await a_product(session, "Before")

        assert_refused(
            await as_staff.put(f"/products/{product.id}", json=product_body(**{field: value})), 422, f"body.{field}"
        )
        stored = await session.get(Product, product.id)
        assert stored is not None
        assert stored.name == "Before"

    @pytest.mark.parametrize("field", ["name", "sku", "price"])
    async def test_a_required_field_cannot_be_absent(
        self, as_staff: AsyncClient, session: AsyncSession, field: str
    ) -> None:
        product = await a_product(session)
        sent = product_body()
        del sent[field]

        assert_refused(await as_staff.put(f"/products/{product.id}", json=sent), 422, f"body.{field}")

    async def test_only_staff_can_replace_a_product(
        self, client: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, "Before")

        assert_refused(await client.put(f"/products/{product.id}", json=product_body()), 401)
        assert_refused(await as_customer.put(f"/products/{product.id}", json=product_body()), 403)
        stored = await session.get(Product, product.id)
        assert stored is not None
        assert stored.name == "Before"

    async def test_a_product_that_does_not_exist_cannot_be_replaced(self, as_staff: AsyncClient) -> None:
        assert_refused(await as_staff.put("/products/1000000", json=product_body()), 404)


class TestUpdateProduct:
    @pytest.mark.parametrize(
        "change",
        [
            {"name": "Other"},
            {"slug": "other"},
            {"sku": "OTHER"},
            {"description": "Other."},
            {"price": "0.05"},
            {"is_active": False},
            {"attributes": {"colour": "red"}},
            {},
        ],
        ids=short,
    )
    async def test_only_the_fields_that_are_sent_change(
        self, as_staff: AsyncClient, session: AsyncSession, change: dict[str, Any]
    ) -> None:
        product = await a_product(
            session,
            description="Thirty hours.",
            attributes={"colour": "black"},
            category=await a_category(session),
            stock_quantity=7,
        )
        before = (await as_staff.get(f"/products/{product.id}")).json()

        response = await as_staff.patch(f"/products/{product.id}", json=change)

        after = (await as_staff.get(f"/products/{product.id}")).json()
        assert after == {**before, **change, "updated_at": after["updated_at"]}
        assert (after["updated_at"] > before["updated_at"]) == bool(change)
        assert response.json().items() <= after.items()

    @pytest.mark.parametrize(("before", "after"), [(1, True), (True, 1), (0, False), ([1], [True])], ids=repr)
    async def test_a_value_of_another_kind_is_another_value(
        self, as_staff: AsyncClient, session: AsyncSession, before: Any, after: Any
    ) -> None:
        """To Python 1 equals true, to JSON it does not."""
        product = await a_product(session, attributes={"wireless": before})

        answer = await as_staff.patch(f"/products/{product.id}", json={"attributes": {"wireless": after}})

        assert repr(answer.json()["attributes"]["wireless"]) == repr(after)
        stored = (await as_staff.get(f"/products/{product.id}")).json()
        assert repr(stored["attributes"]["wireless"]) == repr(after)
        audit = await as_staff.get("/audit", params={"entity": "products", "row_id": product.id})
        assert repr(audit.json()["items"][0]["changes"]["attributes"]) == repr(
            [{"wireless": before}, {"wireless": after}]
        )

    async def test_a_product_can_move_to_another_category(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        category = await a_category(session)
        product = await a_product(session)

        await as_staff.patch(f"/products/{product.id}", json={"category_id": category.id})

        stored = await session.get(Product, product.id)
        assert stored is not None
        assert stored.category_id == category.id

    @pytest.mark.parametrize("field", ["description", "category_id"])
    async def test_null_clears_an_optional_field(
        self, as_staff: AsyncClient, session: AsyncSession, field: str
    ) -> None:
        product = await a_product(session, description="Old.", category=await a_category(session))

        response = await as_staff.patch(f"/products/{product.id}", json={field: None})

        assert response.json()[field] is None
        assert getattr(await session.get(Product, product.id), field) is None

    @pytest.mark.parametrize(("field", "value"), [*BAD_FIELDS, ("slug", None), ("stock_quantity", 5)], ids=short)
    async def test_an_invalid_field_is_refused_and_nothing_changes(
        self, as_staff: AsyncClient, session: AsyncSession, field: str, value: Any
    ) -> None:
        product = await a_product(session, stock_quantity=7)
        before = (await as_staff.get(f"/products/{product.id}")).json()

        assert_refused(await as_staff.patch(f"/products/{product.id}", json={field: value}), 422, f"body.{field}")
        assert (await as_staff.get(f"/products/{product.id}")).json() == before

    async def test_a_move_to_a_category_where_the_name_is_in_use_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        category = await a_category(session)
        await a_product(session, "Same", category)
        product = await a_product(session, "Same")

        response = await as_staff.patch(f"/products/{product.id}", json={"category_id": category.id})

        assert_refused(response, 409, "A product with this category_id and name already exists.")

    async def test_only_staff_can_update_a_product(
        self, client: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, "Before")

        assert_refused(await client.patch(f"/products/{product.id}", json={"name": "X"}), 401)
        assert_refused(await as_customer.patch(f"/products/{product.id}", json={"name": "X"}), 403)
        stored = await session.get(Product, product.id)
        assert stored is not None
        assert stored.name == "Before"

    @pytest.mark.parametrize("product_id", [1_000_000, MAX_ID])
    async def test_a_product_that_does_not_exist_cannot_be_updated(
        self, as_staff: AsyncClient, product_id: int
    ) -> None:
        assert_refused(await as_staff.patch(f"/products/{product_id}", json={"name": "X"}), 404)


class TestReplaceOrUpdateProduct:
    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    @pytest.mark.parametrize(
        ("field", "taken", "unique"),
        [("sku", "TAKEN", "sku"), ("slug", "taken", "slug"), ("name", "Taken", "category_id and name")],
    )
    async def test_a_sku_slug_or_name_that_is_in_use_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession, method: str, field: str, taken: str, unique: str
    ) -> None:
        category = await a_category(session)
        await a_product(session, "Taken", category, sku="TAKEN", slug="taken")
        product = await a_product(session, "Mine", category, sku="MINE")
        sent = {"name": "Mine", "sku": "MINE", "price": 1, "category_id": category.id, field: taken}
        if method == "PATCH":
            sent = {field: taken}

        response = await as_staff.request(method, f"/products/{product.id}", json=sent)

        assert_refused(response, 409, f"A product with this {unique} already exists.")
        stored = await session.get(Product, product.id)
        assert stored is not None
        assert (stored.name, stored.sku) == ("Mine", "MINE")

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    async def test_a_simultaneous_change_of_the_stock_loses_no_units(
        self, as_staff: AsyncClient, session: AsyncSession, method: str
    ) -> None:
        product = await a_product(session, stock_quantity=10)
        path = f"/products/{product.id}"

        responses = await asyncio.gather(
            *(as_staff.request(method, path, json=product_body(description=f"{number}")) for number in range(8)),
            *(as_staff.post(f"{path}/stock", json={"delta": 1, "reason": "Found"}) for _ in range(8)),
        )

        assert {response.status_code for response in responses} <= {200, 201}
        assert await stock_of(session, product) == 18 == sum(await deltas(session, product))
