"""/products/low-stock: products that staff may want to reorder."""

from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.product import MAX_STOCK
from tests.factories import a_product
from tests.lists import names, walk
from tests.support import assert_refused, count_statements


class TestListLowStock:
    async def test_active_products_with_the_fewest_units_come_first(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        for name, stock in (("ten", 10), ("none", 0), ("eleven", 11), ("three", 3), ("also none", 0)):
            await a_product(session, name, stock_quantity=stock)
        await a_product(session, "gone", is_active=False)

        async def listed(**params: Any) -> list[str]:
            return names((await as_staff.get("/products/low-stock", params=params)).json())

        assert await listed() == ["none", "also none", "three", "ten"]
        assert await listed(threshold=0) == ["none", "also none"]
        assert await listed(threshold=11) == ["none", "also none", "three", "ten", "eleven"]

    async def test_the_cursor_lists_every_product_exactly_once(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        for number in range(11):
            await a_product(session, f"n{number}", stock_quantity=number % 3)

        listed = await walk(as_staff, "/products/low-stock", page_size=2)

        assert [each["name"] for each in listed] == [f"n{number}" for number in (0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8)]

    async def test_only_staff_can_list_products_low_in_stock(
        self, client: AsyncClient, as_customer: AsyncClient
    ) -> None:
        assert_refused(await client.get("/products/low-stock"), 401)
        assert_refused(await as_customer.get("/products/low-stock"), 403)

    @pytest.mark.parametrize("threshold", [-1, MAX_STOCK + 1, "few", 1.5])
    async def test_an_invalid_threshold_is_refused(self, as_staff: AsyncClient, threshold: Any) -> None:
        response = await as_staff.get("/products/low-stock", params={"threshold": threshold})

        assert_refused(response, 422, "query.threshold")

    @pytest.mark.parametrize("size", [1, 20])
    async def test_a_page_costs_two_statements_whatever_its_size(
        self, as_staff: AsyncClient, session: AsyncSession, database: Database, size: int
    ) -> None:
        for _ in range(size):
            await a_product(session)

        with count_statements(database) as statements:
            await as_staff.get("/products/low-stock")
        assert len(statements) == 2  # the token, the count, the rows
