"""/products: a catalog that the public reads and staff keep."""

import asyncio
import json
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.category import Category
from api.models.order import Order
from api.models.order_item import OrderItem
from api.models.product import MAX_STOCK, Product
from api.models.stock_movement import StockMovement
from api.models.types import MAX_ID
from api.models.user import User
from tests.support import assert_refused, count_statements, save

numbers = count(1)

EVERY_SORT = ["-id", "id", "name", "-name", "price", "-price"]


async def a_category(session: AsyncSession, name: str = "") -> Category:
    number = next(numbers)
    category = Category(name=name or f"Category {number}", slug=f"category-{number}")
    await save(session, category)
    return category


async def a_product(session: AsyncSession, name: str = "", **fields: Any) -> Product:
    number = next(numbers)
    fields = {"slug": f"product-{number}", "sku": f"P-{number}", "price": Decimal("9.99"), **fields}
    product = Product(name=name or f"Product {number}", **fields)
    await save(session, product)
    return product


async def an_order(session: AsyncSession, user: User, product: Product) -> Order:
    order = Order(user_id=user.id, total_amount=product.price)
    await save(session, order)
    line = OrderItem(
        order_id=order.id,
        product_id=product.id,
        product_name=product.name,
        sku=product.sku,
        quantity=1,
        unit_price=product.price,
        total_price=product.price,
    )
    await save(session, line)
    return order


async def skus(session: AsyncSession) -> list[str]:
    return list((await session.exec(select(Product.sku).order_by(col(Product.id)))).all())


async def movements(session: AsyncSession, product_id: int) -> list[tuple[int, str]]:
    of_product = select(StockMovement).where(StockMovement.product_id == product_id).order_by(col(StockMovement.id))
    return [(each.delta, each.reason.value) for each in (await session.exec(of_product)).all()]


def new(**fields: Any) -> dict[str, Any]:
    return {"name": "Headphones", "sku": "WH-001", "price": "79.99", **fields}


def names(page: Any) -> list[str]:
    return [item["name"] for item in page["items"]]


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


BAD_FIELDS: list[tuple[str, Any]] = [
    ("name", None),
    ("name", ""),
    ("name", "   "),
    ("name", "x" * 201),
    ("name", 1),
    ("name", "a\0b"),
    ("slug", ""),
    ("slug", "Head Phones"),
    ("slug", "a--b"),
    ("slug", "x" * 121),
    ("sku", None),
    ("sku", ""),
    ("sku", "wh-001"),
    ("sku", "WH_001"),
    ("sku", "WH--001"),
    ("sku", "-WH"),
    ("sku", "WH 001"),
    ("sku", "ÉCOUTE"),
    ("sku", "X" * 51),
    ("description", "x" * 5_001),
    ("description", 1),
    ("description", "\0"),
    ("price", None),
    ("price", 0),
    ("price", "0.00"),
    ("price", -1),
    ("price", "-0.01"),
    ("price", "0.001"),
    ("price", 0.001),
    ("price", "NaN"),
    ("price", "inf"),
    ("price", "-Infinity"),
    ("price", "1e400"),
    ("price", "1e-400"),
    ("price", "10000000000.00"),
    ("price", 10**30),
    ("price", "free"),
    ("price", ""),
    ("price", True),
    ("price", [1]),
    ("is_active", None),
    ("is_active", "perhaps"),
    ("is_active", 2),
    ("attributes", None),
    ("attributes", []),
    ("attributes", "red"),
    ("attributes", {"text": "x" * 10_000}),
    ("attributes", {"text": "a\0b"}),
    ("attributes", {"a\0b": 1}),
    ("attributes", {"list": [{"inside": "\0"}]}),
    ("category_id", 0),
    ("category_id", -1),
    ("category_id", MAX_ID + 1),
    ("category_id", 1.5),
    ("category_id", "one"),
    ("category_id", MAX_ID),
    ("id", 7),
    ("created_at", "2020-01-01T00:00:00Z"),
    ("category", {"name": "Audio"}),
    ("colour", "red"),
]
BAD_STOCK: list[tuple[str, Any]] = [("stock_quantity", each) for each in (None, -1, MAX_STOCK + 1, 1.5, "many", 10**30)]

BAD_BODIES = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"Headphones"',
    b"{}",
    b'{"name": "\xff", "sku": "WH-001", "price": 1}',
    b'{"name": "\\ud800", "sku": "WH-001", "price": 1}',
    b'{"name": "A", "sku": "WH-001", "price": NaN}',
    b'{"name": "A", "sku": "WH-001", "price": Infinity}',
    b'{"name": "A", "sku": "WH-001", "price": 1e400}',
    b'{"name": "A", "sku": "WH-001", "price": 1' + b"0" * 5_000 + b"}",
    b'{"name": "A", "sku": "WH-001", "price": 1, "attributes": {"a": NaN}}',
    b'{"name": "A", "sku": "WH-001", "price": 1, "attributes": {"a": [{"b": -Infinity}]}}',
    b'{"name": "A", "sku": "WH-001", "price": 1, "attributes": {"a": 1e400}}',
    b'{"name": "A", "sku": "WH-001", "price": 1, "attributes": {"a": "\\ud800"}}',
    b'{"name": "A", "sku": "WH-001", "price": 1, "attributes": {"\\udc00": 1}}',
    b'{"name": "A", "sku": "WH-001", "price": 1, "attributes": {"a": ' + b"[" * 4_000 + b"]" * 4_000 + b"}}",
    b'{"name": "A", "sku": "WH-001", "price": 1, "attributes": {"a": ' + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}}",
    b"[" * 100_000,
]


def short(value: Any) -> str:
    return ascii(value)[:40]


class TestListProducts:
    async def test_there_are_none_at_first(self, client: AsyncClient) -> None:
        response = await client.get("/products")

        assert response.json() == {
            "items": [],
            "total": 0,
            "page": 1,
            "page_size": 20,
            "total_pages": 0,
            "has_next": False,
            "has_previous": False,
        }

    async def test_what_is_shown_of_each(self, client: AsyncClient, session: AsyncSession) -> None:
        category = await a_category(session, "Audio Players")
        product = await a_product(
            session, "Headphones", category_id=category.id, stock_quantity=7, attributes={"colour": "black"}
        )

        (item,) = (await client.get("/products")).json()["items"]

        assert item.keys() == {
            "id",
            "name",
            "slug",
            "sku",
            "description",
            "price",
            "stock_quantity",
            "is_active",
            "attributes",
            "category_id",
            "category",
            "created_at",
            "updated_at",
        }
        assert (item["id"], item["price"], item["stock_quantity"]) == (product.id, "9.99", 7)
        assert item["attributes"] == {"colour": "black"}
        assert (item["category"]["id"], item["category"]["name"]) == (category.id, "Audio Players")

    async def test_one_without_a_category_has_none(self, client: AsyncClient, session: AsyncSession) -> None:
        await a_product(session)

        (item,) = (await client.get("/products")).json()["items"]

        assert (item["category_id"], item["category"]) == (None, None)

    async def test_only_staff_see_inactive_ones(
        self, client: AsyncClient, as_customer: AsyncClient, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        await a_product(session, "Sold")
        await a_product(session, "Gone", is_active=False)

        for public in (client, as_customer):
            page = (await public.get("/products")).json()
            assert (names(page), page["total"]) == (["Sold"], 1)
            assert names((await public.get("/products", params={"cursor": ""})).json()) == ["Sold"]
            assert names((await public.get("/products", params={"is_active": True})).json()) == ["Sold"]
            assert names((await public.get("/products", params={"search": "gone"})).json()) == []
        assert names((await as_staff.get("/products")).json()) == ["Gone", "Sold"]

    async def test_only_staff_filter_by_activity(
        self, client: AsyncClient, as_customer: AsyncClient, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        await a_product(session, "Sold")
        await a_product(session, "Gone", is_active=False)

        for public in (client, as_customer):
            assert_refused(await public.get("/products", params={"is_active": False}), 403, "staff")
        assert names((await as_staff.get("/products", params={"is_active": False})).json()) == ["Gone"]
        assert names((await as_staff.get("/products", params={"is_active": True})).json()) == ["Sold"]

    async def test_a_token_that_is_not_valid_is_refused(self, client: AsyncClient) -> None:
        response = await client.get("/products", headers={"Authorization": "Bearer shop_nonsense"})

        assert_refused(response, 401)
        assert response.headers["WWW-Authenticate"] == "Bearer"

    @pytest.mark.parametrize("search", ["headphones", "HEADPHONES", "eadph", "wh-0", "THIRTY", "s & c"])
    async def test_search_finds_names_skus_and_descriptions_whatever_the_case(
        self, client: AsyncClient, session: AsyncSession, search: str
    ) -> None:
        await a_product(session, "Headphones & Cable", sku="WH-001", description="Thirty hours.")
        await a_product(session, "Loudspeaker")

        page = (await client.get("/products", params={"search": search})).json()

        assert (names(page), page["total"]) == (["Headphones & Cable"], 1)

    @pytest.mark.parametrize("search", ["école", "ÉCOLE"])
    @pytest.mark.parametrize("name", ["École", "ÉCOLE", "école"])
    async def test_search_knows_the_case_of_every_letter(
        self, client: AsyncClient, session: AsyncSession, name: str, search: str
    ) -> None:
        await a_product(session, name)

        assert names((await client.get("/products", params={"search": search})).json()) == [name]

    async def test_search_tells_an_accent_from_none(self, client: AsyncClient, session: AsyncSession) -> None:
        await a_product(session, "Ecole")

        assert names((await client.get("/products", params={"search": "école"})).json()) == []

    @pytest.mark.parametrize("search", ["%", "_", "\\", "/", "100%", "a_b", "'"])
    async def test_wildcards_stand_for_themselves(
        self, client: AsyncClient, session: AsyncSession, search: str
    ) -> None:
        await a_product(session, f"x {search} y")
        await a_product(session, "x 1000 aXb y")

        assert names((await client.get("/products", params={"search": search})).json()) == [f"x {search} y"]

    async def test_by_category(self, client: AsyncClient, session: AsyncSession) -> None:
        category = await a_category(session)
        await a_product(session, "In it", category_id=category.id)
        await a_product(session, "Elsewhere", category_id=(await a_category(session)).id)
        await a_product(session, "Nowhere")

        assert names((await client.get("/products", params={"category_id": category.id})).json()) == ["In it"]
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
    async def test_by_price_with_both_limits_included(
        self, client: AsyncClient, session: AsyncSession, limits: dict[str, Any], found: list[str]
    ) -> None:
        for price in ("0.01", "9.99", "10.00", "10.01", "20.00"):
            await a_product(session, price=Decimal(price))

        items = (await client.get("/products", params={**limits, "sort": "price"})).json()["items"]

        assert [item["price"] for item in items] == found

    async def test_by_stock(self, client: AsyncClient, session: AsyncSession) -> None:
        await a_product(session, "There", stock_quantity=1)
        await a_product(session, "Not there", stock_quantity=0)

        assert names((await client.get("/products", params={"in_stock": True})).json()) == ["There"]
        assert names((await client.get("/products", params={"in_stock": False})).json()) == ["Not there"]

    async def test_filters_narrow_each_other(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        category = await a_category(session)
        right: dict[str, Any] = {"category_id": category.id, "price": Decimal(50), "stock_quantity": 1}
        await a_product(session, "Phone right", **right)
        wrong: list[dict[str, Any]] = [
            {"category_id": None},
            {"price": Decimal(5)},
            {"price": Decimal(500)},
            {"stock_quantity": 0},
            {"is_active": False},
        ]
        for number, change in enumerate(wrong):
            await a_product(session, f"Phone {number}", **{**right, **change})
        await a_product(session, "Radio", **right)

        params: dict[str, Any] = {
            "search": "phone",
            "category_id": category.id,
            "min_price": 10,
            "max_price": 100,
            "in_stock": True,
            "is_active": True,
        }
        page = (await as_staff.get("/products", params=params)).json()

        assert (names(page), page["total"]) == (["Phone right"], 1)

    @pytest.mark.parametrize("sort", EVERY_SORT)
    async def test_sorted_with_ties_told_apart_by_id(
        self, client: AsyncClient, session: AsyncSession, sort: str
    ) -> None:
        for name, price in (("b", 2), ("a", 2), ("B", 1), ("é", 3), ("a", 1), ("b", 2), ("a", 2)):
            await a_product(session, name, price=Decimal(price))
        rows = (await session.exec(select(Product))).all()
        column = sort.removeprefix("-")
        expected = sorted(rows, key=lambda row: (getattr(row, column), row.id), reverse=sort.startswith("-"))

        items = (await client.get("/products", params={"sort": sort})).json()["items"]

        assert [item["id"] for item in items] == [row.id for row in expected]

    async def test_the_newest_come_first_unless_told_otherwise(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        for name in ("first", "second"):
            await a_product(session, name)

        assert names((await client.get("/products")).json()) == ["second", "first"]

    @pytest.mark.parametrize("way", ["page", "cursor"])
    @pytest.mark.parametrize("sort", EVERY_SORT)
    async def test_walking_shows_each_exactly_once_and_in_order(
        self, client: AsyncClient, session: AsyncSession, sort: str, way: str
    ) -> None:
        await save(
            session,
            *(
                Product(name=f"n{number % 3}", slug=f"s{number}", sku=f"S{number}", price=Decimal(1 + number % 4))
                for number in range(23)
            ),
        )
        params: dict[str, Any] = {"sort": sort, "page_size": 5}
        whole = (await client.get("/products", params={"sort": sort, "page_size": 100})).json()["items"]

        walked: list[Any] = []
        if way == "page":
            for page in range(1, 6):
                walked += (await client.get("/products", params={**params, "page": page})).json()["items"]
        else:
            cursor: str | None = ""
            while cursor is not None:
                answer = (await client.get("/products", params={**params, "cursor": cursor})).json()
                assert 0 < len(answer["items"]) <= 5
                walked += answer["items"]
                cursor = answer["next_cursor"]

        assert [item["id"] for item in walked] == [item["id"] for item in whole]
        assert len({item["id"] for item in walked}) == 23

    async def test_walking_by_cursor_skips_nothing_while_others_come_and_go(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        products = [await a_product(session, f"n{number}") for number in range(10)]
        params: dict[str, Any] = {"sort": "name", "page_size": 4}
        first = (await client.get("/products", params={**params, "cursor": ""})).json()
        await session.delete(products[1])
        await session.flush()
        await a_product(session, "a new one before")

        rest = (
            await client.get("/products", params={**params, "page_size": 10, "cursor": first["next_cursor"]})
        ).json()

        assert names(first) + names(rest) == [f"n{number}" for number in range(10)]

    async def test_a_cursor_of_another_order_is_refused(self, client: AsyncClient, session: AsyncSession) -> None:
        for _ in range(2):
            await a_product(session)
        cursor = (await client.get("/products", params={"sort": "price", "cursor": "", "page_size": 1})).json()[
            "next_cursor"
        ]

        assert_refused(await client.get("/products", params={"sort": "name", "cursor": cursor}), 422, "query.cursor")

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ({"search": ""}, "query.search"),
            ({"search": "x" * 101}, "query.search"),
            ({"search": "a\0b"}, "query.search"),
            ({"category_id": 0}, "query.category_id"),
            ({"category_id": MAX_ID + 1}, "query.category_id"),
            ({"category_id": "audio"}, "query.category_id"),
            ({"min_price": -1}, "query.min_price"),
            ({"min_price": "0.001"}, "query.min_price"),
            ({"min_price": "NaN"}, "query.min_price"),
            ({"min_price": "1e400"}, "query.min_price"),
            ({"max_price": "inf"}, "query.max_price"),
            ({"max_price": "10000000000"}, "query.max_price"),
            ({"max_price": "cheap"}, "query.max_price"),
            ({"in_stock": "perhaps"}, "query.in_stock"),
            ({"is_active": ""}, "query.is_active"),
            ({"sort": "colour"}, "query.sort"),
            ({"sort": "stock_quantity"}, "query.sort"),
            ({"sort": ""}, "query.sort"),
            ({"page": 0}, "query.page"),
            ({"page": 10**30}, "query.page"),
            ({"page_size": 0}, "query.page_size"),
            ({"page_size": 101}, "query.page_size"),
            ({"cursor": "nonsense"}, "query.cursor"),
        ],
        ids=short,
    )
    async def test_a_bad_query_is_refused(self, client: AsyncClient, query: dict[str, Any], field: str) -> None:
        assert_refused(await client.get("/products", params=query), 422, field)

    @pytest.mark.parametrize("size", [1, 20])
    async def test_takes_two_statements_whatever_the_size(
        self, client: AsyncClient, session: AsyncSession, database: Database, size: int
    ) -> None:
        for _ in range(size):
            await a_product(session, category_id=(await a_category(session)).id)

        with count_statements(database) as statements:
            page = (await client.get("/products", params={"page_size": 100, "search": "product"})).json()
        assert len(statements) == 2
        assert len(page["items"]) == size
        assert all(item["category"] for item in page["items"])
        with count_statements(database) as statements:
            await client.get("/products", params={"page_size": 100, "cursor": ""})
        assert len(statements) == 1


class TestReadProduct:
    @pytest.mark.parametrize("path", ["/products/{0.id}", "/products/by-sku/{0.sku}", "/products/by-slug/{0.slug}"])
    async def test_anyone_reads_an_active_one_with_its_category(
        self, client: AsyncClient, session: AsyncSession, database: Database, path: str
    ) -> None:
        category = await a_category(session, "Audio Players")
        await a_product(session, "Another", category_id=category.id)
        product = await a_product(session, "Headphones", category_id=category.id)

        with count_statements(database) as statements:
            response = await client.get(path.format(product))

        assert response.status_code == 200
        body = response.json()
        assert (body["id"], body["name"], body["category"]["name"]) == (product.id, "Headphones", "Audio Players")
        assert len(statements) == 1

    @pytest.mark.parametrize("path", ["/products/{0.id}", "/products/by-sku/{0.sku}", "/products/by-slug/{0.slug}"])
    async def test_an_inactive_one_exists_for_staff_alone(
        self, client: AsyncClient, as_customer: AsyncClient, as_staff: AsyncClient, session: AsyncSession, path: str
    ) -> None:
        product = await a_product(session, is_active=False)

        for public in (client, as_customer):
            assert_refused(await public.get(path.format(product)), 404, "no such product")
        assert (await as_staff.get(path.format(product))).json()["id"] == product.id

    async def test_an_inactive_one_is_not_listed_in_its_category(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        category = await a_category(session)
        await a_product(session, "Sold", category_id=category.id)
        await a_product(session, "Gone", category_id=category.id, is_active=False)

        for recursive in (False, True):
            page = await client.get(f"/categories/{category.id}/products", params={"recursive": recursive})
            assert (names(page.json()), page.json()["total"]) == (["Sold"], 1)

    @pytest.mark.parametrize(
        "path",
        [
            "/products/1000000",
            f"/products/{MAX_ID}",
            "/products/by-sku/NONE",
            "/products/by-sku/%ED%A0%80",
            "/products/by-slug/none",
            "/products/by-slug/100%25",
        ],
    )
    async def test_one_that_does_not_exist_is_not_found(self, client: AsyncClient, path: str) -> None:
        assert_refused(await client.get(path), 404, "no such product")

    async def test_a_sku_is_read_as_it_is_written(self, client: AsyncClient, session: AsyncSession) -> None:
        await a_product(session, sku="WH-001", slug="headphones")

        assert_refused(await client.get("/products/by-sku/wh-001"), 404)
        assert_refused(await client.get("/products/by-slug/Headphones"), 404)
        assert_refused(await client.get("/products/by-slug/h%C3%A9adphones"), 404)

    @pytest.mark.parametrize(
        "path",
        [
            "/products/0",
            "/products/-1",
            f"/products/{MAX_ID + 1}",
            "/products/one",
            "/products/1.5",
            "/products/by-sku/a%00b",
            "/products/by-slug/a%00b",
            "/products/by-sku/" + "X" * 301,
        ],
        ids=short,
    )
    async def test_what_cannot_be_right_is_refused(self, client: AsyncClient, path: str) -> None:
        assert_refused(await client.get(path), 422, "path.")


class TestCategoryStats:
    async def test_an_empty_shop_has_none(self, client: AsyncClient) -> None:
        assert (await client.get("/products/stats/by-category")).json() == []

    async def test_sums_up_active_products_by_category_with_the_uncategorised_last(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        zoo, audio = await a_category(session, "Zoo Animals"), await a_category(session, "A Category")
        for price, stock, category_id in (("10.00", 5, zoo.id), ("10.01", 0, zoo.id), ("0.03", 2, audio.id)):
            await a_product(session, price=Decimal(price), stock_quantity=stock, category_id=category_id)
        await a_product(session, price=Decimal(7), stock_quantity=1)
        await a_product(session, price=Decimal("0.01"), stock_quantity=9, category_id=zoo.id, is_active=False)

        response = await client.get("/products/stats/by-category")

        def stats(category_id: int | None, category: str | None, *rest: Any) -> dict[str, Any]:
            fields = ("products", "in_stock", "units", "average_price", "lowest_price", "highest_price")
            return {"category_id": category_id, "category": category, **dict(zip(fields, rest, strict=True))}

        assert response.json() == [
            stats(audio.id, "A Category", 1, 1, 2, "0.03", "0.03", "0.03"),
            stats(zoo.id, "Zoo Animals", 2, 1, 5, "10.01", "10.00", "10.01"),
            stats(None, None, 1, 1, 1, "7.00", "7.00", "7.00"),
        ]

    async def test_the_highest_prices_and_stocks_are_summed_exactly(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        for _ in range(3):
            await a_product(session, price=Decimal("9999999999.99"), stock_quantity=MAX_STOCK)

        (stats,) = (await client.get("/products/stats/by-category")).json()

        assert (stats["average_price"], stats["units"]) == ("9999999999.99", 3 * MAX_STOCK)

    @pytest.mark.parametrize("size", [1, 20])
    async def test_takes_one_statement_whatever_the_size(
        self, client: AsyncClient, session: AsyncSession, database: Database, size: int
    ) -> None:
        for _ in range(size):
            await a_product(session, category_id=(await a_category(session)).id)

        with count_statements(database) as statements:
            assert len((await client.get("/products/stats/by-category")).json()) == size
        assert len(statements) == 1


class TestListLowStock:
    async def test_active_products_with_the_fewest_units_first(
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

    async def test_walking_by_cursor_shows_each_exactly_once(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        for number in range(11):
            await a_product(session, f"n{number}", stock_quantity=number % 3)
        walked: list[str] = []
        cursor: str | None = ""
        while cursor is not None:
            answer = (await as_staff.get("/products/low-stock", params={"cursor": cursor, "page_size": 2})).json()
            walked += names(answer)
            cursor = answer["next_cursor"]

        assert walked == [f"n{number}" for number in (0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8)]

    async def test_nobody_but_staff_lists_them(self, client: AsyncClient, as_customer: AsyncClient) -> None:
        assert_refused(await client.get("/products/low-stock"), 401)
        assert_refused(await as_customer.get("/products/low-stock"), 403)

    @pytest.mark.parametrize("threshold", [-1, MAX_STOCK + 1, "few", 1.5])
    async def test_a_bad_threshold_is_refused(self, as_staff: AsyncClient, threshold: Any) -> None:
        response = await as_staff.get("/products/low-stock", params={"threshold": threshold})

        assert_refused(response, 422, "query.threshold")

    @pytest.mark.parametrize("size", [1, 20])
    async def test_takes_three_statements_whatever_the_size(
        self, as_staff: AsyncClient, session: AsyncSession, database: Database, size: int
    ) -> None:
        for _ in range(size):
            await a_product(session)

        with count_statements(database) as statements:
            await as_staff.get("/products/low-stock")
        assert len(statements) == 3  # the token, the count, the rows


class TestCreateProduct:
    async def test_staff_add_one(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        category = await a_category(session)
        sent = new(
            slug="cans",
            description="Thirty hours.",
            is_active=False,
            attributes={"colour": "black", "sizes": [1, 2.5, None, True, {"é": "🎧"}]},
            category_id=category.id,
            stock_quantity=50,
        )

        response = await as_staff.post("/products", json=sent)

        assert response.status_code == 201
        assert sent.items() <= response.json().items()
        product = await session.get(Product, response.json()["id"])
        assert product is not None
        assert {field: getattr(product, field) for field in sent} == {**sent, "price": Decimal("79.99")}
        read = (await as_staff.get(f"/products/{product.id}")).json()
        assert response.json().items() <= read.items()

    async def test_what_is_absent_has_a_default(self, as_staff: AsyncClient) -> None:
        body = (await as_staff.post("/products", json=new())).json()

        assert (body["slug"], body["description"], body["is_active"]) == ("headphones", None, True)
        assert (body["attributes"], body["category_id"], body["stock_quantity"]) == ({}, None, 0)

    async def test_its_first_stock_leaves_a_movement(
        self, as_staff: AsyncClient, staff: User, session: AsyncSession
    ) -> None:
        product_id = (await as_staff.post("/products", json=new(stock_quantity=50))).json()["id"]

        (movement,) = (await session.exec(select(StockMovement))).all()
        assert (movement.product_id, movement.delta, movement.reason) == (product_id, 50, "initial")
        assert (movement.user_id, movement.order_id) == (staff.id, None)

    async def test_no_first_stock_leaves_none(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        await as_staff.post("/products", json=new(stock_quantity=0))

        assert (await session.exec(select(StockMovement))).all() == []

    async def test_nobody_else_does(self, client: AsyncClient, as_customer: AsyncClient, session: AsyncSession) -> None:
        assert_refused(await client.post("/products", json=new()), 401)
        assert_refused(await as_customer.post("/products", json=new()), 403)
        assert await skus(session) == []

    @pytest.mark.parametrize(
        ("price", "stored"),
        [
            ("0.01", "0.01"),
            (0.1, "0.10"),
            (79.99, "79.99"),
            (1, "1.00"),
            ("007.50", "7.50"),
            ("9999999999.99", "9999999999.99"),
        ],
    )
    async def test_a_price_is_exact_however_it_is_written(
        self, as_staff: AsyncClient, session: AsyncSession, price: Any, stored: str
    ) -> None:
        response = await as_staff.post("/products", json=new(price=price))

        assert response.json()["price"] == stored
        assert (await session.exec(select(col(Product.price)))).one() == Decimal(stored)

    @pytest.mark.parametrize(("field", "value"), BAD_FIELDS + BAD_STOCK, ids=short)
    async def test_bad_input_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession, field: str, value: Any
    ) -> None:
        response = await as_staff.post("/products", json=new(**{field: value}))

        assert_refused(response, 422, f"body.{field}")
        assert await skus(session) == []

    @pytest.mark.parametrize("body", BAD_BODIES, ids=short)
    async def test_a_body_that_is_no_product_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession, body: bytes
    ) -> None:
        response = await as_staff.post("/products", content=body, headers={"Content-Type": "application/json"})

        assert response.status_code in {400, 422}, response.text
        assert "body" in response.json()["detail"]
        assert await skus(session) == []

    @pytest.mark.parametrize("field", ["sku", "slug"])
    async def test_sku_and_slug_are_unique(self, as_staff: AsyncClient, session: AsyncSession, field: str) -> None:
        await a_product(session, sku="WH-001", slug="headphones")
        sent = new(name="Other", sku="OTHER", slug="other", **{})
        sent[field] = {"sku": "WH-001", "slug": "headphones"}[field]

        assert_refused(await as_staff.post("/products", json=sent), 409, f"{field} is already taken")
        assert await skus(session) == ["WH-001"]

    async def test_a_name_is_unique_within_a_category(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        one, other = await a_category(session), await a_category(session)
        for sku, category in (("A", one), ("B", other)):
            response = await as_staff.post("/products", json=new(sku=sku, category_id=category.id))
            assert response.status_code == 201

        response = await as_staff.post("/products", json=new(sku="C", category_id=one.id))

        assert_refused(response, 409, "name is already taken")
        assert await skus(session) == ["A", "B"]

    async def test_a_slug_made_from_a_name_that_is_taken_gets_digits_behind_it(self, as_staff: AsyncClient) -> None:
        first, second = [await as_staff.post("/products", json=new(sku=sku)) for sku in ("A", "B")]

        assert first.json()["slug"] == "headphones"
        assert second.json()["slug"].startswith("headphones-")

    async def test_of_two_with_one_sku_at_once_one_is_made(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        for number in range(5):
            sent = [new(name=f"P {number} {each}", sku=f"S-{number}", stock_quantity=3) for each in range(4)]
            responses = await asyncio.gather(*(as_staff.post("/products", json=each) for each in sent))
            assert sorted(response.status_code for response in responses) == [201, 409, 409, 409]

        assert await skus(session) == [f"S-{number}" for number in range(5)]
        assert len((await session.exec(select(StockMovement))).all()) == 5

    async def test_the_longest_values_are_stored(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        longest = new(
            name="🎧" * 200,
            slug="x" * 120,
            sku="X" * 50,
            description="🎧" * 5_000,
            attributes={"text": "x" * 9_988},
            stock_quantity=MAX_STOCK,
        )
        assert len(json.dumps(longest["attributes"])) == 10_000

        response = await as_staff.post("/products", json=longest)

        assert response.status_code == 201
        stored = await session.get(Product, response.json()["id"])
        assert {field: getattr(stored, field) for field in longest} == {**longest, "price": Decimal("79.99")}


class TestCreateProducts:
    async def test_staff_add_many_with_their_stock(
        self, as_staff: AsyncClient, staff: User, session: AsyncSession
    ) -> None:
        category = await a_category(session)
        sent = [
            new(name=f"P {number}", sku=f"S-{number}", stock_quantity=number, category_id=category.id)
            for number in range(20)
        ]

        response = await as_staff.post("/products/bulk", json=sent)

        assert response.status_code == 201
        assert [each["sku"] for each in response.json()] == [each["sku"] for each in sent]
        stocks = (await session.exec(select(Product.id, Product.stock_quantity).order_by(col(Product.id)))).all()
        assert [stock for _, stock in stocks] == list(range(20))
        for product_id, stock in stocks:
            assert await movements(session, product_id) == ([(stock, "initial")] if stock else [])

    async def test_equal_names_get_slugs_of_their_own(self, as_staff: AsyncClient) -> None:
        response = await as_staff.post("/products/bulk", json=[new(sku=f"S-{number}") for number in range(5)])

        assert len({each["slug"] for each in response.json()}) == 5

    @pytest.mark.parametrize(
        ("wrong", "status", "detail"),
        [
            ({"price": 0}, 422, "body.2.price"),
            ({"sku": "S-0"}, 409, "sku is already taken"),
            ({"sku": "TAKEN"}, 409, "sku is already taken"),
            ({"slug": "taken"}, 409, "slug is already taken"),
            ({"category_id": 1_000_000}, 422, "category_id"),
            ({"colour": "red"}, 422, "body.2.colour"),
            ({"name": "P 0"}, 409, "name is already taken"),
        ],
        ids=short,
    )
    async def test_where_one_cannot_be_none_is(
        self, as_staff: AsyncClient, session: AsyncSession, wrong: dict[str, Any], status: int, detail: str
    ) -> None:
        await a_product(session, sku="TAKEN", slug="taken")
        category_id = (await a_category(session)).id
        sent = [
            new(name=f"P {number}", sku=f"S-{number}", stock_quantity=5, category_id=category_id) for number in range(3)
        ]
        sent[2] |= wrong

        assert_refused(await as_staff.post("/products/bulk", json=sent), status, detail)

        assert await skus(session) == ["TAKEN"]
        assert (await session.exec(select(StockMovement))).all() == []

    @pytest.mark.parametrize(
        "body", [[], {}, None, [None], [[]], [new(sku=f"S-{number}") for number in range(501)]], ids=short
    )
    async def test_bad_input_is_refused(self, as_staff: AsyncClient, session: AsyncSession, body: Any) -> None:
        assert_refused(await as_staff.post("/products/bulk", json=body), 422, "body")
        assert await skus(session) == []

    async def test_up_to_500_at_once(self, as_staff: AsyncClient, session: AsyncSession, database: Database) -> None:
        sent = [new(name=f"P {number}", sku=f"S-{number}", stock_quantity=1) for number in range(500)]

        with count_statements(database) as statements:
            response = await as_staff.post("/products/bulk", json=sent)

        assert response.status_code == 201
        assert len(await skus(session)) == 500
        if database.engine.dialect.name != "sqlite":  # where a statement is no round trip
            assert len(statements) < 20

    async def test_nobody_but_staff_does(
        self, client: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        assert_refused(await client.post("/products/bulk", json=[new()]), 401)
        assert_refused(await as_customer.post("/products/bulk", json=[new()]), 403)
        assert await skus(session) == []


class TestReplaceProduct:
    async def test_what_is_absent_is_cleared_but_slug_and_stock(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        category = await a_category(session)
        product = await a_product(
            session,
            slug="cans",
            description="Thirty hours.",
            attributes={"colour": "black"},
            category_id=category.id,
            stock_quantity=7,
            is_active=False,
        )

        response = await as_staff.put(f"/products/{product.id}", json=new())

        assert response.status_code == 200
        stored = await session.get(Product, product.id)
        assert stored is not None
        assert (stored.name, stored.sku, stored.price) == ("Headphones", "WH-001", Decimal("79.99"))
        assert (stored.description, stored.attributes, stored.category_id) == (None, {}, None)
        assert stored.is_active
        assert (stored.slug, stored.stock_quantity) == ("cans", 7)
        read = (await as_staff.get(f"/products/{product.id}")).json()
        assert response.json().items() <= read.items()

    async def test_all_that_is_sent_is_written(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        category = await a_category(session)
        product = await a_product(session)
        sent = new(slug="cans", description="Thirty.", is_active=False, attributes={"a": [1]}, category_id=category.id)

        response = await as_staff.put(f"/products/{product.id}", json=sent)

        assert sent.items() <= response.json().items()

    @pytest.mark.parametrize(("field", "value"), [*BAD_FIELDS, ("stock_quantity", 5)], ids=short)
    async def test_bad_input_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession, field: str, value: Any
    ) -> None:
        product = await a_product(session, "Before")

        assert_refused(await as_staff.put(f"/products/{product.id}", json=new(**{field: value})), 422, f"body.{field}")
        stored = await session.get(Product, product.id)
        assert stored is not None
        assert stored.name == "Before"

    @pytest.mark.parametrize("field", ["name", "sku", "price"])
    async def test_what_must_be_there_may_not_be_absent(
        self, as_staff: AsyncClient, session: AsyncSession, field: str
    ) -> None:
        product = await a_product(session)
        sent = new()
        del sent[field]

        assert_refused(await as_staff.put(f"/products/{product.id}", json=sent), 422, f"body.{field}")

    async def test_nobody_but_staff_does(
        self, client: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, "Before")

        assert_refused(await client.put(f"/products/{product.id}", json=new()), 401)
        assert_refused(await as_customer.put(f"/products/{product.id}", json=new()), 403)
        stored = await session.get(Product, product.id)
        assert stored is not None
        assert stored.name == "Before"

    async def test_one_that_does_not_exist_is_not_found(self, as_staff: AsyncClient) -> None:
        assert_refused(await as_staff.put("/products/1000000", json=new()), 404)


class TestUpdateProduct:
    @pytest.mark.parametrize(
        "change",
        [
            {"name": "Other"},
            {"slug": "other"},
            {"sku": "OTHER"},
            {"description": "Other."},
            {"price": "0.05"},
            {"is_active": False},
            {"attributes": {"colour": "red"}},
            {},
        ],
        ids=short,
    )
    async def test_only_what_is_sent_changes(
        self, as_staff: AsyncClient, session: AsyncSession, change: dict[str, Any]
    ) -> None:
        product = await a_product(
            session,
            description="Thirty hours.",
            attributes={"colour": "black"},
            category_id=(await a_category(session)).id,
            stock_quantity=7,
        )
        before = (await as_staff.get(f"/products/{product.id}")).json()

        response = await as_staff.patch(f"/products/{product.id}", json=change)

        after = (await as_staff.get(f"/products/{product.id}")).json()
        assert after == {**before, **change, "updated_at": after["updated_at"]}
        assert (after["updated_at"] > before["updated_at"]) == bool(change)
        assert response.json().items() <= after.items()

    async def test_moves_to_another_category(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        category = await a_category(session)
        product = await a_product(session)

        await as_staff.patch(f"/products/{product.id}", json={"category_id": category.id})

        stored = await session.get(Product, product.id)
        assert stored is not None
        assert stored.category_id == category.id

    @pytest.mark.parametrize("field", ["description", "category_id"])
    async def test_null_clears_what_may_be_empty(
        self, as_staff: AsyncClient, session: AsyncSession, field: str
    ) -> None:
        product = await a_product(session, description="Old.", category_id=(await a_category(session)).id)

        response = await as_staff.patch(f"/products/{product.id}", json={field: None})

        assert response.json()[field] is None
        assert getattr(await session.get(Product, product.id), field) is None

    @pytest.mark.parametrize(("field", "value"), [*BAD_FIELDS, ("slug", None), ("stock_quantity", 5)], ids=short)
    async def test_bad_input_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession, field: str, value: Any
    ) -> None:
        product = await a_product(session, stock_quantity=7)
        before = (await as_staff.get(f"/products/{product.id}")).json()

        assert_refused(await as_staff.patch(f"/products/{product.id}", json={field: value}), 422, f"body.{field}")
        assert (await as_staff.get(f"/products/{product.id}")).json() == before

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    @pytest.mark.parametrize(("field", "taken"), [("sku", "TAKEN"), ("slug", "taken"), ("name", "Taken")])
    async def test_sku_slug_and_name_stay_unique(
        self, as_staff: AsyncClient, session: AsyncSession, method: str, field: str, taken: str
    ) -> None:
        category = await a_category(session)
        await a_product(session, "Taken", sku="TAKEN", slug="taken", category_id=category.id)
        product = await a_product(session, "Mine", sku="MINE", category_id=category.id)
        sent = {"name": "Mine", "sku": "MINE", "price": 1, "category_id": category.id, field: taken}
        if method == "PATCH":
            sent = {field: taken}

        response = await as_staff.request(method, f"/products/{product.id}", json=sent)

        assert_refused(response, 409, f"{field} is already taken")
        stored = await session.get(Product, product.id)
        assert stored is not None
        assert (stored.name, stored.sku) == ("Mine", "MINE")

    async def test_a_name_stays_unique_when_its_category_changes(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        category = await a_category(session)
        await a_product(session, "Same", category_id=category.id)
        product = await a_product(session, "Same")

        response = await as_staff.patch(f"/products/{product.id}", json={"category_id": category.id})

        assert_refused(response, 409, "name is already taken")

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    async def test_a_change_leaves_the_stock_alone_while_it_changes(
        self, as_staff: AsyncClient, session: AsyncSession, method: str
    ) -> None:
        product_id = (await as_staff.post("/products", json=new(stock_quantity=10))).json()["id"]

        responses = await asyncio.gather(
            *(as_staff.request(method, f"/products/{product_id}", json=new(description=f"{n}")) for n in range(8)),
            *(as_staff.post(f"/products/{product_id}/stock", json={"delta": 1, "reason": "Found"}) for _ in range(8)),
        )

        assert {response.status_code for response in responses} <= {200, 201}
        stored = await session.get(Product, product_id)
        assert stored is not None
        assert stored.stock_quantity == 18 == sum(delta for delta, _ in await movements(session, product_id))

    async def test_nobody_but_staff_does(
        self, client: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, "Before")

        assert_refused(await client.patch(f"/products/{product.id}", json={"name": "X"}), 401)
        assert_refused(await as_customer.patch(f"/products/{product.id}", json={"name": "X"}), 403)
        stored = await session.get(Product, product.id)
        assert stored is not None
        assert stored.name == "Before"

    @pytest.mark.parametrize("product_id", [1_000_000, MAX_ID])
    async def test_one_that_does_not_exist_is_not_found(self, as_staff: AsyncClient, product_id: int) -> None:
        assert_refused(await as_staff.patch(f"/products/{product_id}", json={"name": "X"}), 404)


class TestDeleteProduct:
    async def test_one_that_was_never_ordered_is_gone_with_its_movements(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        product_id = (await as_staff.post("/products", json=new(stock_quantity=5))).json()["id"]

        response = await as_staff.delete(f"/products/{product_id}")

        assert (response.status_code, response.content) == (204, b"")
        assert await session.get(Product, product_id) is None
        assert (await session.exec(select(StockMovement))).all() == []
        assert_refused(await as_staff.get(f"/products/{product_id}"), 404)
        assert_refused(await as_staff.delete(f"/products/{product_id}"), 404)

    async def test_one_that_was_ordered_is_deactivated(
        self, client: AsyncClient, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=5)
        order = await an_order(session, customer, product)

        for _ in range(2):
            assert (await as_staff.delete(f"/products/{product.id}")).status_code == 204

        stored = await session.get(Product, product.id)
        assert stored is not None
        assert (stored.is_active, stored.stock_quantity) == (False, 5)
        assert_refused(await client.get(f"/products/{product.id}"), 404)
        assert len((await as_staff.get(f"/orders/{order.id}")).json()["items"]) == 1

    async def test_one_that_was_ordered_once_can_be_sold_again(
        self, client: AsyncClient, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        product = await a_product(session)
        await an_order(session, customer, product)
        await as_staff.delete(f"/products/{product.id}")

        await as_staff.patch(f"/products/{product.id}", json={"is_active": True})

        assert (await client.get(f"/products/{product.id}")).status_code == 200

    async def test_while_it_is_ordered_it_goes_or_is_deactivated(
        self, as_staff: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        for number in range(12):
            sent = new(name=f"P {number}", sku=f"S-{number}", stock_quantity=3)
            product_id = (await as_staff.post("/products", json=sent)).json()["id"]
            order = {"items": [{"product_id": product_id, "quantity": 1}]}

            ordered, deleted = await asyncio.gather(
                as_customer.post("/orders", json=order), as_staff.delete(f"/products/{product_id}")
            )

            assert deleted.status_code == 204
            stored = await session.get(Product, product_id)
            if ordered.status_code == 201:
                assert stored is not None
                assert (stored.is_active, stored.stock_quantity) == (False, 2)
            else:
                assert_refused(ordered, 422, "body.items")
                assert stored is None

    async def test_while_it_is_changed(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        for _ in range(10):
            product = await a_product(session)
            changed, deleted = await asyncio.gather(
                as_staff.patch(f"/products/{product.id}", json={"description": "New."}),
                as_staff.delete(f"/products/{product.id}"),
            )
            assert deleted.status_code == 204
            assert changed.status_code in {200, 404}
        assert await skus(session) == []

    async def test_nobody_but_staff_does(
        self, client: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, sku="HERE")

        assert_refused(await client.delete(f"/products/{product.id}"), 401)
        assert_refused(await as_customer.delete(f"/products/{product.id}"), 403)
        assert await skus(session) == ["HERE"]

    async def test_one_that_does_not_exist_is_not_found(self, as_staff: AsyncClient) -> None:
        assert_refused(await as_staff.delete("/products/1000000"), 404)
