"""POST /categories: adding a category."""

import asyncio
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.category import Category
from api.models.types import MAX_ID
from tests.factories import a_category
from tests.routes.categories.support import parents
from tests.support import assert_refused, count_statements


class TestCreateCategory:
    async def test_staff_can_add_a_category_with_every_field(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        parent = await a_category(session, "Music")

        response = await as_staff.post(
            "/categories",
            json={"name": " Vinyl ", "slug": "records", "description": "Black.", "parent_id": parent.id},
        )

        assert response.status_code == 201
        category = await session.get(Category, response.json()["id"])
        assert category is not None
        assert (category.name, category.slug, category.description) == ("Vinyl", "records", "Black.")
        assert category.parent_id == parent.id
        read = await as_staff.get(f"/categories/{category.id}")
        assert read.json() == response.json()

    async def test_only_staff_can_add_a_category(
        self, client: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        assert_refused(await client.post("/categories", json={"name": "Audio"}), 401)
        assert_refused(await as_customer.post("/categories", json={"name": "Audio"}), 403)
        assert await parents(session) == {}

    async def test_an_invalid_token_is_refused(self, client: AsyncClient) -> None:
        response = await client.post(
            "/categories", json={"name": "A"}, headers={"Authorization": "Bearer shop_nonsense"}
        )

        assert_refused(response, 401)
        assert response.headers["WWW-Authenticate"] == "Bearer"

    @pytest.mark.parametrize(
        ("name", "slug"),
        [
            ("Audio & Hi-Fi", "audio-hi-fi"),
            ("École d'été", "ecole-d-ete"),
            ("日本", "ri-ben"),
            ("!!!", "category"),
            ("🎧", "category"),
        ],
    )
    async def test_an_absent_slug_is_generated_from_the_name(self, as_staff: AsyncClient, name: str, slug: str) -> None:
        response = await as_staff.post("/categories", json={"name": name})

        assert response.status_code == 201
        assert (response.json()["name"], response.json()["slug"]) == (name, slug)

    async def test_a_generated_slug_that_is_in_use_gets_a_suffix(self, as_staff: AsyncClient) -> None:
        first, second = [await as_staff.post("/categories", json={"name": name}) for name in ("Hi-Fi", "Hi Fi")]

        assert first.json()["slug"] == "hi-fi"
        assert second.json()["slug"].startswith("hi-fi-")

    @pytest.mark.parametrize("field", ["name", "slug"])
    async def test_a_name_or_slug_that_is_in_use_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession, field: str
    ) -> None:
        await a_category(session, "Audio", slug="audio")
        new = {"name": "Books", "slug": "books", field: {"name": "Audio", "slug": "audio"}[field]}

        assert_refused(
            await as_staff.post("/categories", json=new), 409, f"A category with this {field} already exists."
        )
        assert len(await parents(session)) == 1

    async def test_names_that_differ_only_in_case_or_accents_can_coexist(self, as_staff: AsyncClient) -> None:
        for name in ("Ecole", "ecole", "École", "ECOLE"):
            assert (await as_staff.post("/categories", json={"name": name})).status_code == 201

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"name": None}, "body.name"),
            ({"name": ""}, "body.name"),
            ({"name": "   "}, "body.name"),
            ({"name": "x" * 101}, "body.name"),
            ({"name": 1}, "body.name"),
            ({"name": ["Audio"]}, "body.name"),
            ({"name": "a\0b"}, "body.name"),
            ({"slug": ""}, "body.slug"),
            ({"slug": "Audio"}, "body.slug"),
            ({"slug": "a--b"}, "body.slug"),
            ({"slug": "x" * 121}, "body.slug"),
            ({"description": "x" * 2_001}, "body.description"),
            ({"description": "\0"}, "body.description"),
            ({"parent_id": 0}, "body.parent_id"),
            ({"parent_id": -1}, "body.parent_id"),
            ({"parent_id": MAX_ID + 1}, "body.parent_id"),
            ({"parent_id": 1.5}, "body.parent_id"),
            ({"parent_id": 1_000_000}, "body.parent_id"),
            ({"id": 7}, "body.id"),
            ({"created_at": "2020-01-01T00:00:00Z"}, "body.created_at"),
            ({"colour": "red"}, "body.colour"),
        ],
        ids=lambda value: str(value)[:30],
    )
    async def test_an_invalid_field_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession, changes: dict[str, Any], field: str
    ) -> None:
        response = await as_staff.post("/categories", json={"name": "Audio", **changes})

        assert_refused(response, 422, field)
        assert [error["field"] for error in response.json()["errors"]] == [field]
        assert await parents(session) == {}

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"", 422),
            (b"{", 422),
            (b"null", 422),
            (b"[]", 422),
            (b'"Audio"', 422),
            (b"1", 422),
            (b"{}", 422),
            (b'{"name": NaN}', 422),
            (b'{"name": "\\ud800"}', 422),
            (b'{"name": "\xff"}', 400),
            (b"[" * 100_000, 400),
            (b'{"name": "Audio", "parent_id": 1' + b"0" * 5_000 + b"}", 400),
        ],
        ids=lambda value: repr(value)[:40],
    )
    async def test_a_malformed_body_is_refused(self, as_staff: AsyncClient, body: bytes, status: int) -> None:
        response = await as_staff.post("/categories", content=body, headers={"Content-Type": "application/json"})

        assert_refused(response, status, "body")

    async def test_a_body_of_another_content_type_is_refused(self, as_staff: AsyncClient) -> None:
        response = await as_staff.post(
            "/categories", content=b'{"name": "Audio"}', headers={"Content-Type": "text/plain"}
        )

        assert_refused(response, 422, "body")

    async def test_a_body_that_is_too_large_is_refused(self, as_staff: AsyncClient) -> None:
        response = await as_staff.post("/categories", json={"name": "Audio", "description": "x" * 2_000_000})

        assert_refused(response, 413)

    async def test_the_longest_values_are_stored_unchanged(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        longest = {"name": "🎧" * 100, "slug": "x" * 120, "description": "🎧" * 2_000}

        response = await as_staff.post("/categories", json=longest)

        category = await session.get(Category, response.json()["id"])
        assert category is not None
        assert {field: getattr(category, field) for field in longest} == longest

    async def test_one_of_four_simultaneous_categories_with_the_same_name_is_added(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        for number in range(10):
            new = {"name": f"Category {number}"}
            responses = await asyncio.gather(*(as_staff.post("/categories", json=new) for _ in range(4)))
            assert sorted(response.status_code for response in responses) == [201, 409, 409, 409]

        assert len(await parents(session)) == 10

    @pytest.mark.parametrize("size", [1, 30])
    async def test_a_new_category_costs_five_statements_whatever_the_size_of_the_tree(
        self, as_staff: AsyncClient, session: AsyncSession, database: Database, size: int
    ) -> None:
        category = None
        for number in range(size):
            category = await a_category(session, f"Category {number}", category)
        assert category is not None

        with count_statements(database) as statements:
            await as_staff.post("/categories", json={"name": "Audio", "parent_id": category.id})
        assert len(statements) == 5  # the token, the tree, the slug, the insert, its entry
