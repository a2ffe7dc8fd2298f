"""Figures about users: how many are active, and who spends the most."""

from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.order import OrderStatus
from api.models.user import User
from tests.factories import a_user, an_order
from tests.support import assert_refused, count_statements


class TestCountActiveUsers:
    async def test_staff_count_active_and_inactive_users(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession, database: Database
    ) -> None:
        await a_user(session, is_active=False)

        with count_statements(database) as statements:
            response = await as_staff.get("/users/stats/active-count")

        assert response.json() == {"total": 3, "active": 2, "inactive": 1}
        assert len(statements) == 2

    async def test_callers_other_than_staff_are_refused(self, client: AsyncClient, as_customer: AsyncClient) -> None:
        assert_refused(await client.get("/users/stats/active-count"), 401)
        assert_refused(await as_customer.get("/users/stats/active-count"), 403)


class TestListTopSpenders:
    async def test_the_user_with_the_highest_sum_of_orders_comes_first(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        some, most, same = [await a_user(session, name) for name in ("some", "most", "same")]
        await a_user(session, "without_orders")
        await an_order(session, some, total="10.10")
        await an_order(session, same, total="10.10", status=OrderStatus.DELIVERED)
        await an_order(session, most, total="9999999999.99")
        await an_order(session, most, total="9999999999.99", status=OrderStatus.SHIPPED)
        await an_order(session, some, total="500.00", status=OrderStatus.CANCELLED)

        response = await as_staff.get("/users/stats/top-spenders")

        assert response.json() == [
            {"user": {"id": most.id, "username": "most"}, "orders": 2, "spent": "19999999999.98"},
            {"user": {"id": some.id, "username": "some"}, "orders": 1, "spent": "10.10"},
            {"user": {"id": same.id, "username": "same"}, "orders": 1, "spent": "10.10"},
        ]

    async def test_the_list_is_empty_without_orders(self, as_staff: AsyncClient) -> None:
        assert (await as_staff.get("/users/stats/top-spenders")).json() == []

    @pytest.mark.parametrize("size", [1, 20])
    async def test_a_list_of_any_length_takes_two_statements(
        self, as_staff: AsyncClient, session: AsyncSession, database: Database, size: int
    ) -> None:
        for _ in range(20):
            await an_order(session, await a_user(session))

        with count_statements(database) as statements:
            response = await as_staff.get("/users/stats/top-spenders", params={"limit": size})

        assert len(response.json()) == size
        assert len(statements) == 2

    async def test_callers_other_than_staff_are_refused(self, client: AsyncClient, as_customer: AsyncClient) -> None:
        assert_refused(await client.get("/users/stats/top-spenders"), 401)
        assert_refused(await as_customer.get("/users/stats/top-spenders"), 403)

    @pytest.mark.parametrize("limit", [0, -1, 101, "many", 2**63])
    async def test_an_invalid_limit_is_refused(self, as_staff: AsyncClient, limit: Any) -> None:
        assert_refused(await as_staff.get("/users/stats/top-spenders", params={"limit": limit}), 422, "query.limit")
