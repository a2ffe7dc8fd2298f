"""PUT and PATCH /categories/{id}: changing a category."""

import asyncio
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.category import Category
from tests.factories import a_category
from tests.support import assert_refused, count_statements


class TestReplaceCategory:
    async def test_absent_fields_are_cleared_except_the_slug(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        parent = await a_category(session, "Music")
        category = await a_category(session, "Vinyl", parent, description="Black.", slug="vinyl")

        response = await as_staff.put(f"/categories/{category.id}", json={"name": "Records"})

        assert response.status_code == 200
        stored = await session.get(Category, category.id)
        assert stored is not None
        assert (stored.name, stored.description, stored.parent_id) == ("Records", None, None)
        assert stored.slug == "vinyl", f"the slug changed to {stored.slug}, so links to the category are broken"
        assert response.json() == (await as_staff.get(f"/categories/{category.id}")).json()

    async def test_every_field_that_is_sent_is_stored(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        parent = await a_category(session, "Music")
        category = await a_category(session, "Vinyl")
        new = {"name": "Records", "slug": "records", "description": "Round.", "parent_id": parent.id}

        response = await as_staff.put(f"/categories/{category.id}", json=new)

        assert new.items() <= response.json().items()

    async def test_the_same_replacement_a_second_time_changes_nothing(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        category = await a_category(session, "Vinyl", slug="vinyl")

        first, second = [
            (await as_staff.put(f"/categories/{category.id}", json={"name": "Vinyl"})).json() for _ in range(2)
        ]

        assert first == second

    @pytest.mark.parametrize(
        ("body", "field"), [({}, "body.name"), ({"name": None}, "body.name"), ({"name": "A", "x": 1}, "body.x")]
    )
    async def test_an_invalid_body_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession, body: dict[str, Any], field: str
    ) -> None:
        category = await a_category(session, "Vinyl")

        assert_refused(await as_staff.put(f"/categories/{category.id}", json=body), 422, field)

    async def test_a_name_that_is_in_use_is_refused(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        await a_category(session, "Music")
        category = await a_category(session, "Vinyl")

        response = await as_staff.put(f"/categories/{category.id}", json={"name": "Music"})

        assert_refused(response, 409, "A category with this name already exists.")

    async def test_only_staff_can_replace_a_category(
        self, client: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        category = await a_category(session, "Vinyl")

        assert_refused(await client.put(f"/categories/{category.id}", json={"name": "X"}), 401)
        assert_refused(await as_customer.put(f"/categories/{category.id}", json={"name": "X"}), 403)
        stored = await session.get(Category, category.id)
        assert stored is not None
        assert stored.name == "Vinyl"

    async def test_a_category_that_does_not_exist_cannot_be_replaced(self, as_staff: AsyncClient) -> None:
        assert_refused(await as_staff.put("/categories/1000000", json={"name": "X"}), 404)


class TestUpdateCategory:
    @pytest.mark.parametrize("change", [{"name": "Records"}, {"slug": "records"}, {"description": "Round."}, {}])
    async def test_only_the_fields_that_are_sent_change(
        self, as_staff: AsyncClient, session: AsyncSession, change: dict[str, Any]
    ) -> None:
        parent = await a_category(session, "Music")
        category = await a_category(session, "Vinyl", parent, description="Black.")
        before = (await as_staff.get(f"/categories/{category.id}")).json()

        response = await as_staff.patch(f"/categories/{category.id}", json=change)

        after = (await as_staff.get(f"/categories/{category.id}")).json()
        assert response.json() == after
        assert after == {**before, **change, "updated_at": after["updated_at"]}
        assert (after["updated_at"] > before["updated_at"]) == bool(change)

    @pytest.mark.parametrize("field", ["description", "parent_id"])
    async def test_null_clears_an_optional_field(
        self, as_staff: AsyncClient, session: AsyncSession, field: str
    ) -> None:
        parent = await a_category(session, "Music")
        category = await a_category(session, "Vinyl", parent, description="Black.")

        response = await as_staff.patch(f"/categories/{category.id}", json={field: None})

        assert response.json()[field] is None
        stored = await session.get(Category, category.id)
        assert getattr(stored, field) is None

    @pytest.mark.parametrize("field", ["name", "slug"])
    async def test_null_is_refused_for_a_required_field(
        self, as_staff: AsyncClient, session: AsyncSession, field: str
    ) -> None:
        category = await a_category(session, "Vinyl")

        response = await as_staff.patch(f"/categories/{category.id}", json={field: None})

        assert_refused(response, 422, f"body.{field}")

    @pytest.mark.parametrize("field", ["id", "created_at", "updated_at", "colour"])
    async def test_a_field_that_clients_may_not_write_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession, field: str
    ) -> None:
        category = await a_category(session, "Vinyl")

        assert_refused(await as_staff.patch(f"/categories/{category.id}", json={field: 1}), 422, f"body.{field}")

    @pytest.mark.parametrize("field", ["name", "slug"])
    async def test_a_name_or_slug_that_is_in_use_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession, field: str
    ) -> None:
        await a_category(session, "Music", slug="music")
        category = await a_category(session, "Vinyl", slug="vinyl")
        taken = {"name": "Music", "slug": "music"}[field]

        response = await as_staff.patch(f"/categories/{category.id}", json={field: taken})

        assert_refused(response, 409, f"A category with this {field} already exists.")

    async def test_a_parent_that_does_not_exist_is_refused(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        category = await a_category(session, "Vinyl")

        response = await as_staff.patch(f"/categories/{category.id}", json={"parent_id": 1_000_000})

        assert_refused(response, 422, "body.parent_id")

    async def test_only_staff_can_update_a_category(
        self, client: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        category = await a_category(session, "Vinyl")

        assert_refused(await client.patch(f"/categories/{category.id}", json={"name": "X"}), 401)
        assert_refused(await as_customer.patch(f"/categories/{category.id}", json={"name": "X"}), 403)

    async def test_a_category_that_does_not_exist_cannot_be_updated(self, as_staff: AsyncClient) -> None:
        assert_refused(await as_staff.patch("/categories/1000000", json={"name": "X"}), 404)

    @pytest.mark.parametrize("with_parent", [False, True])
    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    async def test_a_change_that_waited_for_another_one_starts_from_what_that_left(
        self, as_staff: AsyncClient, session: AsyncSession, database: Database, method: str, with_parent: bool
    ) -> None:
        parent, category = await a_category(session, "Music"), await a_category(session, "Vinyl")
        change: dict[str, Any] = {"name": "LPs"} if method == "PUT" else {"description": "Round."}
        if with_parent:
            change["parent_id"] = parent.id

        async with database.transaction() as other:
            renamed = await other.get_one(Category, category.id)
            renamed.name = "Records"
            await other.flush()
            waiting = asyncio.create_task(as_staff.request(method, f"/categories/{category.id}", json=change))
            await asyncio.sleep(0.3)
            assert not waiting.done()

        answer = await waiting
        stored = await session.get(Category, category.id)
        assert stored is not None
        assert answer.json()["name"] == stored.name == {"PUT": "LPs", "PATCH": "Records"}[method]
        assert stored.search_text == Category.search_text_of([stored.name, stored.description])

    @pytest.mark.parametrize("size", [1, 30])
    async def test_a_move_costs_six_statements_whatever_the_size_of_the_tree(
        self, as_staff: AsyncClient, session: AsyncSession, database: Database, size: int
    ) -> None:
        parent = None
        for number in range(size):
            parent = await a_category(session, f"Category {number}", parent)
        assert parent is not None
        category = await a_category(session, "Vinyl")

        with count_statements(database) as statements:
            await as_staff.patch(f"/categories/{category.id}", json={"parent_id": parent.id})
        assert len(statements) == 6  # the token, the category, the tree, the row as it is, the update, its entry
