"""DELETE /categories/{id}: deleting a category, while its children and products stay."""

import asyncio

import pytest
from httpx import AsyncClient
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.category import Category
from api.models.product import Product
from tests.factories import a_category, a_product
from tests.routes.categories.support import parents
from tests.support import assert_refused, count_statements


class TestDeleteCategory:
    async def test_a_deleted_category_is_gone(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        category = await a_category(session, "Vinyl")

        response = await as_staff.delete(f"/categories/{category.id}")

        assert (response.status_code, response.content) == (204, b"")
        assert await session.get(Category, category.id) is None
        assert_refused(await as_staff.get(f"/categories/{category.id}"), 404)
        assert_refused(await as_staff.delete(f"/categories/{category.id}"), 404)

    async def test_the_children_move_up_to_the_parent(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        top = await a_category(session, "Top")
        middle = await a_category(session, "Middle", top)
        children = [await a_category(session, f"Child {number}", middle) for number in range(3)]
        grandchild = await a_category(session, "Grandchild", children[0])

        await as_staff.delete(f"/categories/{middle.id}")

        assert await parents(session) == {
            top.id: None,
            **{child.id: top.id for child in children},
            grandchild.id: children[0].id,
        }

    async def test_the_children_of_a_top_category_move_to_the_top(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        top = await a_category(session, "Top")
        child = await a_category(session, "Child", top)

        await as_staff.delete(f"/categories/{top.id}")

        assert await parents(session) == {child.id: None}

    async def test_the_products_are_left_without_a_category(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        parent = await a_category(session, "Music")
        category = await a_category(session, "Vinyl", parent)
        product = await a_product(session, "Kind of Blue", category)

        await as_staff.delete(f"/categories/{category.id}")

        stored = await session.get(Product, product.id)
        assert stored is not None
        assert stored.category_id is None

    async def test_only_staff_can_delete_a_category(
        self, client: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        category = await a_category(session, "Vinyl")

        assert_refused(await client.delete(f"/categories/{category.id}"), 401)
        assert_refused(await as_customer.delete(f"/categories/{category.id}"), 403)
        assert await parents(session) == {category.id: None}

    async def test_a_category_that_does_not_exist_cannot_be_deleted(self, as_staff: AsyncClient) -> None:
        assert_refused(await as_staff.delete("/categories/1000000"), 404)

    async def test_the_id_of_a_deleted_category_is_not_used_again(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        category = await a_category(session, "Vinyl")
        await as_staff.delete(f"/categories/{category.id}")

        response = await as_staff.post("/categories", json={"name": "Books"})

        assert response.json()["id"] > category.id

    async def test_one_of_two_simultaneous_deletions_is_not_found(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        for number in range(10):
            category = await a_category(session, f"Category {number}")
            responses = await asyncio.gather(*(as_staff.delete(f"/categories/{category.id}") for _ in range(2)))
            assert sorted(response.status_code for response in responses) == [204, 404]

    async def test_a_category_can_be_deleted_while_it_is_updated(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        for number in range(10):
            category = await a_category(session, f"Category {number}")
            deleted, changed = await asyncio.gather(
                as_staff.delete(f"/categories/{category.id}"),
                as_staff.patch(f"/categories/{category.id}", json={"description": "New."}),
            )
            assert deleted.status_code == 204
            assert changed.status_code in {200, 404}
        assert await parents(session) == {}

    async def test_a_category_can_be_deleted_while_it_gets_a_child(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        for number in range(10):
            category = await a_category(session, f"Category {number}")
            deleted, created = await asyncio.gather(
                as_staff.delete(f"/categories/{category.id}"),
                as_staff.post("/categories", json={"name": f"Child {number}", "parent_id": category.id}),
            )
            assert deleted.status_code == 204
            assert created.status_code in {201, 422}
        assert set((await parents(session)).values()) <= {None}

    @pytest.mark.parametrize("size", [1, 30])
    async def test_a_deletion_costs_thirteen_statements_whatever_the_number_of_children(
        self, as_staff: AsyncClient, session: AsyncSession, database: Database, size: int
    ) -> None:
        category = await a_category(session, "Music")
        for number in range(size):
            child = await a_category(session, f"Child {number}", category)
            await a_product(session, f"Product {number}", child)

        with count_statements(database) as statements:
            await as_staff.delete(f"/categories/{category.id}")
        # The token, the category, the tree, the updates of the children and the products, the deletion, and what the
        # audit trail takes: it reads what each of them changes, also by a foreign key.
        assert len(statements) == 13
        assert (await session.exec(select(Category).where(col(Category.parent_id) == category.id))).all() == []
