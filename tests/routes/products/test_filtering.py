"""/products: the search and the filters of the list."""

from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.types import MAX_ID
from tests.factories import a_category, a_product
from tests.lists import names
from tests.support import assert_refused


class TestSearchProducts:
    @pytest.mark.parametrize("search", ["headphones", "HEADPHONES", "eadph", "wh-0", "THIRTY", "s & c"])
    async def test_the_search_finds_a_part_of_name_sku_or_description_in_any_case(
        self, client: AsyncClient, session: AsyncSession, search: str
    ) -> None:
        await a_product(session, "Headphones & Cable", sku="WH-001", description="Thirty hours.")
        await a_product(session, "Loudspeaker")

        page = (await client.get("/products", params={"search": search})).json()

        assert (names(page), page["total"]) == (["Headphones & Cable"], 1)

    @pytest.mark.parametrize("search", ["école", "ÉCOLE"])
    @pytest.mark.parametrize("name", ["École", "ÉCOLE", "école"])
    async def test_the_search_ignores_the_case_of_accented_letters(
        self, client: AsyncClient, session: AsyncSession, name: str, search: str
    ) -> None:
        await a_product(session, name)

        assert names((await client.get("/products", params={"search": search})).json()) == [name]

    async def test_the_search_distinguishes_accented_letters_from_plain_ones(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        await a_product(session, "Ecole")

        assert names((await client.get("/products", params={"search": "école"})).json()) == []

    @pytest.mark.parametrize("search", ["%", "_", "\\", "/", "100%", "a_b", "'"])
    async def test_the_search_takes_wildcard_characters_literally(
        self, client: AsyncClient, session: AsyncSession, search: str
    ) -> None:
        await a_product(session, f"x {search} y")
        await a_product(session, "x 1000 aXb y")

        assert names((await client.get("/products", params={"search": search})).json()) == [f"x {search} y"]


class TestFilterProducts:
    async def test_only_staff_can_filter_inactive_products(
        self, client: AsyncClient, as_customer: AsyncClient, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        await a_product(session, "For sale")
        await a_product(session, "Inactive", is_active=False)

        for public in (client, as_customer):
            assert_refused(await public.get("/products", params={"is_active": False}), 403, "staff")
        assert names((await as_staff.get("/products", params={"is_active": False})).json()) == ["Inactive"]
        assert names((await as_staff.get("/products", params={"is_active": True})).json()) == ["For sale"]

    async def test_the_category_filter_lists_only_products_of_that_category(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        category = await a_category(session)
        await a_product(session, "In the category", category)
        await a_product(session, "In another category", await a_category(session))
        await a_product(session, "Without a category")

        assert names((await client.get("/products", params={"category_id": category.id})).json()) == ["In the category"]
        assert names((await client.get("/products", params={"category_id": MAX_ID})).json()) == []

    @pytest.mark.parametrize(
        ("limits", "found"),
        [
            ({"min_price": "10.00"}, ["10.00", "10.01", "20.00"]),
            ({"min_price": "10.01"}, ["10.01", "20.00"]),
            ({"max_price": "10"}, ["0.01", "9.99", "10.00"]),
            ({"min_price": "9.99", "max_price": "10.01"}, ["9.99", "10.00", "10.01"]),
            ({"min_price": 0, "max_price": "9999999999.99"}, ["0.01", "9.99", "10.00", "10.01", "20.00"]),
            ({"min_price": "10.02", "max_price": "10.01"}, []),
        ],
    )
    async def test_the_price_filter_includes_both_limits(
        self, client: AsyncClient, session: AsyncSession, limits: dict[str, Any], found: list[str]
    ) -> None:
        for price in ("0.01", "9.99", "10.00", "10.01", "20.00"):
            await a_product(session, price=price)

        items = (await client.get("/products", params={**limits, "sort": "price"})).json()["items"]

        assert [item["price"] for item in items] == found

    async def test_the_stock_filter_separates_products_in_stock_from_the_others(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        await a_product(session, "In stock", stock_quantity=1)
        await a_product(session, "Sold out", stock_quantity=0)

        assert names((await client.get("/products", params={"in_stock": True})).json()) == ["In stock"]
        assert names((await client.get("/products", params={"in_stock": False})).json()) == ["Sold out"]

    async def test_a_listed_product_matches_every_filter(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        category = await a_category(session)
        matching: dict[str, Any] = {"category_id": category.id, "price": "50.00", "stock_quantity": 1}
        await a_product(session, "Phone that matches", **matching)
        changes: list[dict[str, Any]] = [
            {"category_id": None},
            {"price": "5.00"},
            {"price": "500.00"},
            {"stock_quantity": 0},
            {"is_active": False},
        ]
        for number, change in enumerate(changes):
            await a_product(session, f"Phone {number}", **{**matching, **change})
        await a_product(session, "Radio", **matching)

        params: dict[str, Any] = {
            "search": "phone",
            "category_id": category.id,
            "min_price": 10,
            "max_price": 100,
            "in_stock": True,
            "is_active": True,
        }
        page = (await as_staff.get("/products", params=params)).json()

        assert (names(page), page["total"]) == (["Phone that matches"], 1)
