"""/products: the order of the list, and its pages."""

from decimal import Decimal
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.product import Product
from tests.factories import a_product
from tests.lists import names, walk
from tests.support import assert_refused

EVERY_SORT = ["-id", "id", "name", "-name", "price", "-price"]


class TestSortProducts:
    @pytest.mark.parametrize("sort", EVERY_SORT)
    async def test_products_are_sorted_by_a_column_and_then_by_id(
        self, client: AsyncClient, session: AsyncSession, sort: str
    ) -> None:
        for name, price in (("b", 2), ("a", 2), ("B", 1), ("é", 3), ("a", 1), ("b", 2), ("a", 2)):
            await a_product(session, name, price=Decimal(price))
        rows = (await session.exec(select(Product))).all()
        column = sort.removeprefix("-")
        expected = sorted(rows, key=lambda row: (getattr(row, column), row.id), reverse=sort.startswith("-"))

        items = (await client.get("/products", params={"sort": sort})).json()["items"]

        assert [item["id"] for item in items] == [row.id for row in expected]

    async def test_the_newest_product_comes_first_by_default(self, client: AsyncClient, session: AsyncSession) -> None:
        for name in ("first", "second"):
            await a_product(session, name)

        assert names((await client.get("/products")).json()) == ["second", "first"]


class TestPageThroughProducts:
    @pytest.mark.parametrize("way", ["page", "cursor"])
    @pytest.mark.parametrize("sort", EVERY_SORT)
    async def test_every_product_is_listed_exactly_once_and_in_order(
        self, client: AsyncClient, session: AsyncSession, sort: str, way: str
    ) -> None:
        for number in range(23):
            await a_product(session, f"n{number % 3}", price=Decimal(1 + number % 4))
        whole = (await client.get("/products", params={"sort": sort, "page_size": 100})).json()["items"]

        if way == "page":
            params: dict[str, Any] = {"sort": sort, "page_size": 5}
            pages = [(await client.get("/products", params={**params, "page": page})).json() for page in range(1, 6)]
            listed = [item for page in pages for item in page["items"]]
        else:
            listed = await walk(client, "/products", page_size=5, sort=sort)

        assert [item["id"] for item in listed] == [item["id"] for item in whole]
        assert len({item["id"] for item in listed}) == 23

    async def test_a_cursor_skips_no_product_while_others_are_added_and_deleted(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        products = [await a_product(session, f"n{number}") for number in range(10)]
        params: dict[str, Any] = {"sort": "name", "page_size": 4}
        first = (await client.get("/products", params={**params, "cursor": ""})).json()
        await session.delete(products[1])
        await session.flush()
        await a_product(session, "a new one before")

        params = {**params, "page_size": 10, "cursor": first["next_cursor"]}
        rest = (await client.get("/products", params=params)).json()

        assert names(first) + names(rest) == [f"n{number}" for number in range(10)]

    async def test_a_cursor_of_another_sort_order_is_refused(self, client: AsyncClient, session: AsyncSession) -> None:
        for _ in range(2):
            await a_product(session)
        by_price = await client.get("/products", params={"sort": "price", "cursor": "", "page_size": 1})
        cursor = by_price.json()["next_cursor"]

        assert_refused(await client.get("/products", params={"sort": "name", "cursor": cursor}), 422, "query.cursor")
