"""Pages of a list, by number and by cursor: no row is skipped and none comes twice, in any order."""

import base64
import json
import re
from collections.abc import Sequence
from decimal import Decimal
from operator import itemgetter
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel import delete, func, insert, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.category import Category
from api.models.product import Product, ProductSort
from api.models.types import MAX_ID
from tests.databases import Backend
from tests.factories import a_category, a_product
from tests.lists import walk
from tests.plans import last_statement, plan_of
from tests.support import assert_refused, count_statements


async def some_products(session: AsyncSession, count: int, *, first: int = 0) -> list[Product]:
    """Products of which every third has the same price and every fourth the same name."""
    return [
        await a_product(session, f"Product {number % 4}", price=Decimal(number % 3 + 1) / 10 + 1)
        for number in range(first, first + count)
    ]


async def delete_product(session: AsyncSession, product: Product) -> None:
    await session.delete(product)
    await session.flush()


def in_order(items: list[dict[str, Any]], sort: str) -> list[dict[str, Any]]:
    """Sort by a field and, where it is equal, by id, both in the same direction."""
    return sorted(items, key=itemgetter(sort.removeprefix("-"), "id"), reverse=sort.startswith("-"))


def encoded(value: Any) -> str:
    """A cursor that holds any value, as a client could forge it."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


FORGED_CURSORS = {
    "one letter": "x",
    "only padding": "====",
    "beyond ASCII": "é",
    "a NUL": "%00",
    "null": encoded(None),
    "a number": encoded(7),
    "an object": encoded({}),
    "an empty list": encoded([]),
    "no id": encoded(["price"]),
    "another order": encoded(["name", 1, "Audio"]),
    "the reverse order": encoded(["-price", 1, "1.00"]),
    "id 0": encoded(["price", 0, "1.00"]),
    "id -1": encoded(["price", -1, "1.00"]),
    "an id of 65 bits": encoded(["price", MAX_ID + 1, "1.00"]),
    "an id with a fraction": encoded(["price", 1.0, "1.00"]),
    "an id that is true": encoded(["price", True, "1.00"]),
    "an id in quotes": encoded(["price", "1", "1.00"]),
    "three decimal places": encoded(["price", 1, "1.001"]),
    "NaN": encoded(["price", 1, "NaN"]),
    "infinity": encoded(["price", 1, "Infinity"]),
    "a price beyond any number": encoded(["price", 1, "1e999999999"]),
    "a price that is no number": encoded(["price", 1, "cheap"]),
    "a price that is a list": encoded(["price", 1, []]),
    "a fourth element": encoded(["price", 1, "1.00", 2]),
    "370 nested lists": base64.urlsafe_b64encode(b"[" * 370).decode().rstrip("="),
    "bytes that are not UTF-8": base64.urlsafe_b64encode(b"\xff\xfe").decode().rstrip("="),
    "501 characters": "A" * 501,
    "2,001 characters": "A" * 2_001,
    "an id of 101 digits": encoded(["price", 10**100, "1.00"]),
    "a price of 100 digits": encoded(["price", 1, "9" * 100]),
}
"""Cursors that no list gave out, for a list in the order of `price`."""


async def many_products(database: Database, count: int) -> None:
    """Add products with different names, two of each price, and bring the database's statistics up to date."""
    rows = [
        {
            "name": f"Product {number:05}",
            "slug": f"p-{number}",
            "sku": f"P-{number}",
            "price": Decimal(number // 2) / 100 + 1,
        }
        for number in range(count)
    ]
    analyze = {"postgresql": "ANALYZE products", "mysql": "ANALYZE TABLE products"}
    async with database.engine.begin() as connection:
        await connection.execute(insert(Product), rows)
    async with database.engine.connect() as connection:
        if connection.dialect.name in analyze:
            await connection.exec_driver_sql(analyze[connection.dialect.name])


INDEXES = {"name": "ix_products_name_id", "price": "ix_products_price_id_is_active"}


def assert_range_scan(index: str, column: str, plan: list[Sequence[Any]], backend: Backend) -> None:
    """Check that the index is entered at the value of the cursor, and not read from its start."""
    print(*plan, sep="\n")
    if backend.name == "mariadb":
        (products,) = (step for step in plan if "products" in step)
        assert "range" in products, "the index is not entered at a value"
        assert index in products, "another index is read"
    else:
        text = "\n".join(str(value) for step in plan for value in step)
        entered = {
            "sqlite": rf"SEARCH products USING INDEX {index} \({column}[<>]",
            "postgresql": rf"Index Scan.* using {index} on products.*\n *Index Cond: .*{column}\)?\S* [<>]=",
        }
        assert re.search(entered[backend.name], text)


class TestPageByNumber:
    @pytest.mark.parametrize(
        ("page", "length", "has_next", "has_previous"),
        [
            (1, 3, True, False),
            (2, 3, True, True),
            (3, 1, False, True),
            (4, 0, False, True),
            (1_000_000, 0, False, True),
        ],
    )
    async def test_a_page_says_its_place_and_a_page_beyond_the_end_is_empty(
        self,
        client: AsyncClient,
        session: AsyncSession,
        page: int,
        length: int,
        has_next: bool,
        has_previous: bool,
    ) -> None:
        await some_products(session, 7)

        answer = (await client.get("/products", params={"page": page, "page_size": 3})).json()

        assert len(answer.pop("items")) == length
        assert answer == {
            "total": 7,
            "page": page,
            "page_size": 3,
            "total_pages": 3,
            "has_next": has_next,
            "has_previous": has_previous,
        }

    async def test_a_list_that_fills_its_last_page_has_no_next_page(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        await some_products(session, 6)

        answer = (await client.get("/products", params={"page": 2, "page_size": 3})).json()

        assert (len(answer["items"]), answer["total_pages"], answer["has_next"]) == (3, 2, False)

    @pytest.mark.parametrize("sort", ProductSort)
    async def test_all_pages_together_are_the_whole_list_in_order(
        self, client: AsyncClient, session: AsyncSession, sort: ProductSort
    ) -> None:
        await some_products(session, 25)

        items = []
        for page in range(1, 8):
            items += (await client.get("/products", params={"page": page, "page_size": 4, "sort": sort})).json()[
                "items"
            ]

        assert len({item["id"] for item in items}) == 25
        assert items == in_order(items, sort)

    @pytest.mark.parametrize("params", [{"page": 1_000_001}, {"page": -1}, {"page_size": 101}], ids=str)
    async def test_an_impossible_page_is_refused(self, client: AsyncClient, params: dict[str, Any]) -> None:
        assert_refused(await client.get("/products", params=params), 422, f"query.{next(iter(params))}")


class TestPageByCursor:
    async def test_an_empty_list_has_no_next_cursor(self, client: AsyncClient) -> None:
        answer = await client.get("/products", params={"cursor": ""})

        assert answer.json() == {"items": [], "next_cursor": None}

    @pytest.mark.parametrize("page_size", [1, 4, 5, 12, 13, 14])
    @pytest.mark.parametrize("sort", ProductSort)
    async def test_all_pages_hold_every_row_exactly_once_in_order(
        self, client: AsyncClient, session: AsyncSession, sort: ProductSort, page_size: int
    ) -> None:
        products = await some_products(session, 13)

        items = await walk(client, "/products", sort=sort, page_size=page_size)

        assert sorted(item["id"] for item in items) == [product.id for product in products]
        assert items == in_order(items, sort)

    @pytest.mark.parametrize("sort", ProductSort)
    async def test_all_pages_hold_every_lasting_row_exactly_once_while_others_come_and_go(
        self, client: AsyncClient, session: AsyncSession, sort: ProductSort
    ) -> None:
        lasting = await some_products(session, 30)
        leaving = await some_products(session, 10, first=100)
        number = 200

        async def meanwhile() -> None:
            nonlocal number
            await some_products(session, 3, first=number)
            number += 3
            if leaving:
                await delete_product(session, leaving.pop())

        items = await walk(
            client, "/products", meanwhile if sort != ProductSort.OLDEST else None, sort=sort, page_size=7
        )

        ids = [item["id"] for item in items]
        assert len(ids) == len(set(ids)), f"{len(ids) - len(set(ids))} rows came twice"
        skipped = {product.id for product in lasting} - set(ids)
        assert not skipped, f"the products {sorted(skipped)} were skipped"
        assert items == in_order(items, sort)

    async def test_all_pages_are_in_the_order_of_code_points(self, client: AsyncClient, session: AsyncSession) -> None:
        await session.exec(delete(Category))
        names = ["a", "B", "é", "Z", "e", "É", "🎧", "日本", "ﬀ", "~", '"', "\\", "'"]
        for name in names:
            await a_category(session, name)

        items = await walk(client, "/categories", page_size=1)

        assert [item["name"] for item in items] == sorted(names)

    @pytest.mark.parametrize("letter", ["é", "日", "🎧", '"', "\\", "\x01"], ids=ascii)
    @pytest.mark.parametrize("sort", [ProductSort.NAME, ProductSort.NAME_REVERSED])
    async def test_a_cursor_can_hold_the_longest_text(
        self, client: AsyncClient, session: AsyncSession, letter: str, sort: ProductSort
    ) -> None:
        products = await some_products(session, 4)
        for number, product in enumerate(products):
            product.name = letter * 199 + "zaab"[number]
        await session.flush()

        items = await walk(client, "/products", page_size=1, sort=sort)

        expected = sorted(products, key=lambda each: (each.name, each.id), reverse=sort == ProductSort.NAME_REVERSED)
        assert [item["id"] for item in items] == [product.id for product in expected]

    async def test_a_cursor_stays_valid_after_its_row_is_deleted(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        first, second, third = await some_products(session, 3)
        cursor = (await client.get("/products", params={"cursor": "", "page_size": 1, "sort": "id"})).json()[
            "next_cursor"
        ]
        await delete_product(session, first)

        answer = (await client.get("/products", params={"cursor": cursor, "sort": "id"})).json()

        assert [item["id"] for item in answer["items"]] == [second.id, third.id]

    async def test_all_pages_keep_the_filters(self, client: AsyncClient, session: AsyncSession) -> None:
        await some_products(session, 20)

        items = await walk(client, "/products", search="product 1", page_size=2)

        assert [item["name"] for item in items] == ["Product 1"] * 5

    async def test_each_page_takes_one_statement(
        self, client: AsyncClient, session: AsyncSession, database: Database
    ) -> None:
        await some_products(session, 10)

        with count_statements(database) as statements:
            await walk(client, "/products", page_size=1)

        assert len(statements) == 10

    async def test_a_deep_page_is_found_by_an_index(
        self, client: AsyncClient, backend: Backend, database: Database, session: AsyncSession
    ) -> None:
        """The plan is checked, because the time of a statement varies."""
        await many_products(database, 20_000)

        for name, value in {"price": "51.00", "name": "Product 10000"}.items():
            for sort in (name, f"-{name}"):
                cursor = encoded([sort, (await session.exec(select(func.max(Product.id)))).one() // 2, value])
                with last_statement(database) as sent:
                    page = await client.get("/products", params={"cursor": cursor, "sort": sort})
                assert len(page.json()["items"]) == 20

                assert_range_scan(INDEXES[name], name, await plan_of(database, *sent), backend)

    @pytest.mark.parametrize("cursor", FORGED_CURSORS.values(), ids=FORGED_CURSORS)
    async def test_a_forged_cursor_is_refused(self, client: AsyncClient, cursor: str) -> None:
        assert_refused(await client.get("/products", params={"cursor": cursor, "sort": "price"}), 422, "query.cursor")

    @pytest.mark.parametrize(
        "number",
        ["9" * 100, "-" + "9" * 100, str(2**63), "1.5", "", "1_000_000_000_000_000_000_0"],
        ids=["100 digits", "minus 100 digits", "64 bits", "a fraction", "none", "underscores"],
    )
    async def test_a_cursor_with_a_number_that_no_database_can_store_is_refused(
        self, as_staff: AsyncClient, number: str
    ) -> None:
        params: dict[str, Any] = {"cursor": encoded(["stock_quantity", 1, number]), "threshold": 5}

        assert_refused(await as_staff.get("/products/low-stock", params=params), 422, "query.cursor")

    @pytest.mark.parametrize("values", [["name", 1, "a\0b"], ["name", 1, "\ud800"], ["name", 1, None]], ids=repr)
    async def test_a_cursor_with_text_that_no_database_can_store_is_refused(
        self, client: AsyncClient, values: list[Any]
    ) -> None:
        response = await client.get("/products", params={"cursor": encoded(values), "sort": "name"})

        assert_refused(response, 422, "query.cursor")

    async def test_a_cursor_of_another_order_is_refused(self, client: AsyncClient, session: AsyncSession) -> None:
        await some_products(session, 2)
        params: dict[str, Any] = {"cursor": "", "page_size": 1, "sort": "name"}
        cursor = (await client.get("/products", params=params)).json()["next_cursor"]

        assert_refused(await client.get("/products", params={"cursor": cursor, "sort": "-name"}), 422, "query.cursor")
