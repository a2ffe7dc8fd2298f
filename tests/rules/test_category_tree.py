"""The category tree never has a cycle, and its depth is limited."""

import asyncio

import pytest
from httpx import AsyncClient
from sqlmodel import delete
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.category import Category
from api.rules.category_tree import MAX_DEPTH
from tests.factories import a_category
from tests.routes.categories.support import parents
from tests.support import assert_refused


@pytest.fixture(autouse=True)
async def no_categories(session: AsyncSession) -> None:
    """Delete the categories that a new shop begins with."""
    await session.exec(delete(Category))


def has_cycle(parent_of: dict[int, int | None]) -> bool:
    """Whether a category is its own ancestor."""
    for start in parent_of:
        seen = {start}
        ancestor = parent_of[start]
        while ancestor is not None:
            if ancestor in seen:
                return True
            seen.add(ancestor)
            ancestor = parent_of[ancestor]
    return False


class TestCycles:
    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    async def test_a_category_cannot_become_its_own_parent(
        self, as_staff: AsyncClient, session: AsyncSession, method: str
    ) -> None:
        category = await a_category(session, "Vinyl")

        response = await as_staff.request(
            method, f"/categories/{category.id}", json={"name": "Vinyl", "parent_id": category.id}
        )

        assert_refused(response, 409, "own ancestor")
        assert await parents(session) == {category.id: None}

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    @pytest.mark.parametrize("depth", [1, 2, 20])
    async def test_a_category_cannot_move_below_its_own_descendant(
        self, as_staff: AsyncClient, session: AsyncSession, method: str, depth: int
    ) -> None:
        top = below = await a_category(session, "Top")
        for number in range(depth):
            below = await a_category(session, f"Below {number}", below)
        before = await parents(session)

        response = await as_staff.request(method, f"/categories/{top.id}", json={"name": "Top", "parent_id": below.id})

        assert_refused(response, 409, "own ancestor")
        assert await parents(session) == before

    async def test_a_category_can_move_below_its_sibling(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        top = await a_category(session, "Top")
        left, right = await a_category(session, "Left", top), await a_category(session, "Right", top)

        response = await as_staff.patch(f"/categories/{left.id}", json={"parent_id": right.id})

        assert response.status_code == 200
        assert await parents(session) == {top.id: None, right.id: top.id, left.id: right.id}

    async def test_one_of_two_simultaneous_moves_that_would_close_a_cycle_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        left, right = await a_category(session, "Left"), await a_category(session, "Right")
        for _ in range(25):
            responses = await asyncio.gather(
                as_staff.patch(f"/categories/{left.id}", json={"parent_id": right.id}),
                as_staff.patch(f"/categories/{right.id}", json={"parent_id": left.id}),
            )
            assert sorted(response.status_code for response in responses) == [200, 409]
            assert not has_cycle(await parents(session))
            for each in (left, right):
                await as_staff.patch(f"/categories/{each.id}", json={"parent_id": None})

    async def test_simultaneous_moves_additions_and_deletions_close_no_cycle(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        for turn in range(8):
            ids = [(await a_category(session, f"Category {turn} {number}")).id for number in range(6)]
            responses = await asyncio.gather(
                *(  # all these moves together would close a cycle
                    as_staff.patch(f"/categories/{each}", json={"parent_id": parent})
                    for each, parent in zip(ids, [*ids[1:], ids[0]], strict=True)
                ),
                as_staff.post("/categories", json={"name": f"New {turn}", "parent_id": ids[0]}),
                as_staff.delete(f"/categories/{ids[3]}"),
            )
            assert {response.status_code for response in responses} <= {200, 201, 204, 404, 409, 422}
            assert not has_cycle(await parents(session))


class TestDepth:
    async def test_the_tree_is_at_most_100_levels_deep(
        self, client: AsyncClient, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        top = await a_category(session, "Depth 0")
        category = top
        for depth in range(1, MAX_DEPTH):
            category = await a_category(session, f"Depth {depth}", category)

        response = await client.get("/categories/tree")
        deeper = await as_staff.post("/categories", json={"name": "Too deep", "parent_id": category.id})
        above = await as_staff.post("/categories", json={"name": "Above"})
        pushed = await as_staff.patch(f"/categories/{top.id}", json={"parent_id": above.json()["id"]})

        assert response.text.count('"children":[{') == MAX_DEPTH - 1
        assert_refused(deeper, 409, "at most 100 levels deep")
        assert_refused(pushed, 409, "at most 100 levels deep")
