"""/products/stats/by-category: statistics of the active products."""

from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.product import MAX_STOCK
from tests.factories import a_category, a_product
from tests.support import count_statements


class TestCategoryStats:
    async def test_the_statistics_of_an_empty_shop_are_empty(self, client: AsyncClient) -> None:
        assert (await client.get("/products/stats/by-category")).json() == []

    async def test_active_products_are_summed_up_by_category_and_uncategorised_ones_last(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        zoo, audio = await a_category(session, "Zoo Animals"), await a_category(session, "A Category")
        for price, stock, category in (("10.00", 5, zoo), ("10.01", 0, zoo), ("0.03", 2, audio)):
            await a_product(session, price=price, stock_quantity=stock, category=category)
        await a_product(session, price="7.00", stock_quantity=1)
        await a_product(session, price="0.01", stock_quantity=9, category=zoo, is_active=False)

        response = await client.get("/products/stats/by-category")

        def stats(category_id: int | None, category: str | None, *rest: Any) -> dict[str, Any]:
            fields = ("products", "in_stock", "units", "average_price", "lowest_price", "highest_price")
            return {"category_id": category_id, "category": category, **dict(zip(fields, rest, strict=True))}

        assert response.json() == [
            stats(audio.id, "A Category", 1, 1, 2, "0.03", "0.03", "0.03"),
            stats(zoo.id, "Zoo Animals", 2, 1, 5, "10.01", "10.00", "10.01"),
            stats(None, None, 1, 1, 1, "7.00", "7.00", "7.00"),
        ]

    async def test_the_highest_prices_and_stocks_are_summed_up_exactly(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        for _ in range(3):
            await a_product(session, price="9999999999.99", stock_quantity=MAX_STOCK)

        (stats,) = (await client.get("/products/stats/by-category")).json()

        assert (stats["average_price"], stats["units"]) == ("9999999999.99", 3 * MAX_STOCK)

    async def test_the_statistics_of_many_categories_come_in_pages(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        for name in "CABED":
            await a_product(session, category=await a_category(session, name))

        pages = [
            (await client.get("/products/stats/by-category", params={"page": n, "page_size": 2})).json()
            for n in (1, 2, 3, 4)
        ]

        assert [[each["category"] for each in page] for page in pages] == [["A", "B"], ["C", "D"], ["E"], []]

    @pytest.mark.parametrize("size", [1, 20])
    async def test_the_statistics_cost_one_statement_whatever_the_number_of_categories(
        self, client: AsyncClient, session: AsyncSession, database: Database, size: int
    ) -> None:
        for _ in range(size):
            await a_product(session, category=await a_category(session))

        with count_statements(database) as statements:
            assert len((await client.get("/products/stats/by-category")).json()) == size
        assert len(statements) == 1
