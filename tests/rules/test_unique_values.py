"""A duplicate is refused with the row that has the value, also where nobody else can see it; in a list by its place."""

import asyncio
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.post import PostStatus
from api.models.user import User
from tests.factories import a_category, a_post, a_product, a_tag
from tests.support import assert_refused

PRODUCT: dict[str, Any] = {"name": "Cable", "sku": "C-1", "price": "9.99"}


class TestInactiveProduct:
    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
    @pytest.mark.parametrize(
        ("field", "value", "columns"),
        [("sku", "gone-1", "sku"), ("slug", "gone", "slug"), ("name", "Gone", "category_id and name")],
    )
    async def test_what_an_inactive_product_has_is_refused_to_staff_with_its_id(
        self, as_staff: AsyncClient, session: AsyncSession, method: str, field: str, value: str, columns: str
    ) -> None:
        category = await a_category(session)
        gone = await a_product(session, "Gone", category, sku="GONE-1", slug="gone", is_active=False)
        mine = await a_product(session, "Mine", category)
        path = "/products" if method == "POST" else f"/products/{mine.id}"
        sent = {field: value} if method == "PATCH" else {**PRODUCT, "category_id": category.id, field: value}

        refused = await as_staff.request(method, path, json=sent)

        assert_refused(refused, 409)
        assert refused.json()["detail"] == (
            f"A product with this {columns} already exists. It is product {gone.id}, which is inactive."
        )

    async def test_an_active_product_is_named_too(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        other = await a_product(session, sku="C-1")

        assert_refused(await as_staff.post("/products", json=PRODUCT), 409, f"It is product {other.id}.")

    async def test_a_product_may_keep_what_it_has(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        product = await a_product(session, "Cable", sku="C-1", slug="cable")

        assert (await as_staff.put(f"/products/{product.id}", json={**PRODUCT, "slug": "cable"})).status_code == 200
        assert (await as_staff.patch(f"/products/{product.id}", json={"sku": "C-1"})).status_code == 200


class TestOtherRows:
    async def test_a_category_and_a_tag_are_named(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        category, tag = await a_category(session, "Vinyl", slug="lp"), await a_tag(session, "Hi-fi", slug="hifi")

        for path, body, row in (
            ("/categories", {"name": "Vinyl"}, f"category {category.id}"),
            ("/categories", {"name": "Records", "slug": "lp"}, f"category {category.id}"),
            ("/tags", {"name": "Hi-fi"}, f"tag {tag.id}"),
            ("/tags", {"name": "Stereo", "slug": "hifi"}, f"tag {tag.id}"),
        ):
            assert_refused(await as_staff.post(path, json=body), 409, f"already exists. It is {row}.")

    async def test_a_draft_is_named_to_staff_and_to_its_author_and_to_nobody_else(
        self,
        as_customer: AsyncClient,
        as_other_customer: AsyncClient,
        as_staff: AsyncClient,
        customer: User,
        session: AsyncSession,
    ) -> None:
        draft = await a_post(session, customer, slug="secret", status=PostStatus.DRAFT)
        body = {"title": "Mine", "content": "Text.", "slug": "secret"}
        sentence, named = "A post with this slug already exists.", f" It is post {draft.id}, whose status is draft."

        for client in (as_customer, as_staff):
            assert (await client.post("/posts", json=body)).json()["detail"] == sentence + named
        assert (await as_other_customer.post("/posts", json=body)).json()["detail"] == sentence


class TestList:
    @pytest.mark.parametrize(
        ("change", "refusal"),
        [
            ({"sku": "gone-1"}, "body.2.sku: A product with this sku already exists. It is product {gone}, which is"),
            ({"slug": "gone"}, "body.2.slug: A product with this slug already exists. It is product {gone}, which is"),
            ({"name": "Gone"}, "body.2.name: A product with this category_id and name already exists. It is product"),
            ({"sku": "s-0"}, "body.2.sku: A product with this sku already exists. It is that of body.0.sku."),
            ({"slug": "p-1"}, "body.2.slug: A product with this slug already exists. It is that of body.1.slug."),
            ({"name": "P 1"}, "body.2.name: A product with this category_id and name already exists. It is that of"),
        ],
    )
    async def test_the_row_that_collides_is_named_and_no_row_is_added(
        self, as_staff: AsyncClient, session: AsyncSession, change: dict[str, str], refusal: str
    ) -> None:
        category = await a_category(session)
        gone = await a_product(session, "Gone", category, sku="GONE-1", slug="gone", is_active=False)
        sent = [
            {"name": f"P {n}", "sku": f"S-{n}", "slug": f"p-{n}", "price": 1, "category_id": category.id}
            for n in range(4)
        ]
        sent[2] |= change

        assert_refused(await as_staff.post("/products/bulk", json=sent), 409, refusal.format(gone=gone.id))
        assert (await as_staff.get("/products")).json()["total"] == 1
        sent[2] = {**sent[2], "name": "P 2", "sku": "S-2", "slug": "p-2"}
        assert (await as_staff.post("/products/bulk", json=sent)).status_code == 201

    async def test_the_last_of_500_rows_is_named(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        taken = await a_product(session, sku="TAKEN")
        sent = [{**PRODUCT, "name": f"P {n}", "sku": f"S-{n}"} for n in range(499)] + [{**PRODUCT, "sku": "TAKEN"}]

        refused = await as_staff.post("/products/bulk", json=sent)

        assert_refused(refused, 409, f"body.499.sku: A product with this sku already exists. It is product {taken.id}.")

    async def test_a_category_that_does_not_exist_is_named_by_its_place(self, as_staff: AsyncClient) -> None:
        sent = [PRODUCT, {**PRODUCT, "sku": "C-2", "category_id": 1_000_000}]

        refused = await as_staff.post("/products/bulk", json=sent)

        assert_refused(refused, 422, "body.1.category_id: the category 1000000 does not exist")

    async def test_of_two_requests_at_once_the_second_is_told_which_row_the_first_one_added(
        self, as_staff: AsyncClient
    ) -> None:
        sent = [{**PRODUCT, "name": f"P {n}", "sku": f"S-{n}"} for n in range(20)]

        answers = await asyncio.gather(*(as_staff.post("/products/bulk", json=sent) for _ in range(5)))

        assert sorted(each.status_code for each in answers) == [201, 409, 409, 409, 409]
        (added,) = (each.json() for each in answers if each.status_code == 201)
        for refused in answers:
            if refused.status_code == 409:
                assert_refused(refused, 409, "body.0.sku: A product with this sku already exists.")
                assert f"It is product {added[0]['id']}." in refused.json()["detail"]
