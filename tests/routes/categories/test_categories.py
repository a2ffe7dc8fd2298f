"""/categories: access to every route, listing and reading."""

import threading
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel import insert, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.category import Category
from api.models.types import MAX_ID
from api.reads import trees
from api.reads.trees import FEW_ROWS
from api.rules.category_tree import MAX_DEPTH
from tests.factories import a_category, a_product
from tests.lists import EMPTY_PAGE, names
from tests.support import assert_refused, count_statements

ACCESS = """
                                              nobody  owner  other  staff
GET    /categories                               200    200    200    200
GET    /categories/tree                          200    200    200    200
GET    /categories/by-slug/{slug}                200    200    200    200
GET    /categories/{id}                          200    200    200    200
GET    /categories/{id}/products                 200    200    200    200
POST   /categories                               401    403    403    201
PUT    /categories/{id}                          401    403    403    200
PATCH  /categories/{id}                          401    403    403    200
DELETE /categories/{id}                          401    403    403    204
"""

REQUESTS: dict[str, dict[str, Any]] = {
    "POST /categories": {"json": {"name": "Video"}},
    "PUT /categories/{id}": {"json": {"name": "Video"}},
    "PATCH /categories/{id}": {"json": {"name": "Video"}},
}
"""What is sent on a line of `ACCESS`, and what stands in the path where it is not the row of the world."""


def outline(nodes: list[dict[str, Any]]) -> dict[str, Any]:
    return {node["name"]: outline(node["children"]) for node in nodes}


class TestListCategories:
    async def test_the_list_is_empty_when_there_are_no_categories(self, client: AsyncClient) -> None:
        response = await client.get("/categories")

        assert response.json() == EMPTY_PAGE

    async def test_anyone_can_list_categories_in_order_of_their_names(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        for name in ("Shoes", "Audio", "Émile", "books"):
            await a_category(session, name)

        response = await client.get("/categories")

        assert names(response.json()) == ["Audio", "Shoes", "books", "Émile"]

    async def test_each_category_is_listed_with_all_its_fields(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        category = await a_category(session, "Audio", slug="audio", description="Sound.")

        (item,) = (await client.get("/categories")).json()["items"]

        assert item.keys() == {"id", "name", "slug", "description", "parent_id", "created_at", "updated_at"}
        assert (item["id"], item["slug"], item["description"]) == (category.id, "audio", "Sound.")

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ({"search": "x" * 101}, "query.search"),
            ({"search": "a\0b"}, "query.search"),
            ({"page": 0}, "query.page"),
            ({"page": "one"}, "query.page"),
            ({"page_size": 0}, "query.page_size"),
            ({"page_size": 101}, "query.page_size"),
            ({"cursor": "nonsense"}, "query.cursor"),
        ],
    )
    async def test_an_invalid_query_parameter_is_refused(
        self, client: AsyncClient, query: dict[str, Any], field: str
    ) -> None:
        response = await client.get("/categories", params=query)

        assert_refused(response, 422, field)
        assert response.json()["errors"][0]["field"] == field

    @pytest.mark.parametrize("size", [1, 30])
    async def test_a_page_costs_one_statement_whatever_its_size(
        self, client: AsyncClient, session: AsyncSession, database: Database, size: int
    ) -> None:
        for number in range(size):
            await a_category(session, f"Category {number}")

        with count_statements(database) as statements:
            await client.get("/categories", params={"page_size": 100})
        assert len(statements) == 1
        with count_statements(database) as statements:
            await client.get("/categories", params={"page_size": 100, "cursor": ""})
        assert len(statements) == 1


class TestSearchCategories:
    @pytest.mark.parametrize("search", ["audio", "AUDIO", "udi", "sound", "o & h"])
    async def test_the_search_finds_a_part_of_name_or_description_in_any_case(
        self, client: AsyncClient, session: AsyncSession, search: str
    ) -> None:
        await a_category(session, "Audio & Hi-Fi", description="All that makes a SOUND.")
        await a_category(session, "Books")

        response = await client.get("/categories", params={"search": search})

        assert names(response.json()) == ["Audio & Hi-Fi"]
        assert response.json()["total"] == 1

    @pytest.mark.parametrize("search", ["école", "ÉCOLE", "École"])
    @pytest.mark.parametrize("name", ["École", "ÉCOLE", "école"])
    async def test_the_search_ignores_the_case_of_accented_letters(
        self, client: AsyncClient, session: AsyncSession, name: str, search: str
    ) -> None:
        await a_category(session, name)

        response = await client.get("/categories", params={"search": search})

        assert names(response.json()) == [name]

    async def test_the_search_distinguishes_accented_letters_from_plain_ones(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        await a_category(session, "Ecole")

        assert names((await client.get("/categories", params={"search": "école"})).json()) == []

    @pytest.mark.parametrize("search", ["%", "_", "\\", "/", "100%", "a_b", "'"])
    async def test_the_search_takes_wildcard_characters_literally(
        self, client: AsyncClient, session: AsyncSession, search: str
    ) -> None:
        await a_category(session, f"x {search} y")
        await a_category(session, "x 1000 aXb y")

        response = await client.get("/categories", params={"search": search})

        assert names(response.json()) == [f"x {search} y"]


class TestReadCategoryTree:
    async def test_the_tree_is_empty_when_there_are_no_categories(self, client: AsyncClient) -> None:
        assert (await client.get("/categories/tree")).json() == []

    async def test_children_are_nested_below_their_parents_in_order_of_their_names(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        music = await a_category(session, "Music")
        await a_category(session, "Books")
        vinyl = await a_category(session, "Vinyl", music)
        await a_category(session, "Cassettes", music)
        await a_category(session, "Jazz", vinyl)

        tree = outline((await client.get("/categories/tree")).json())

        assert tree == {"Books": {}, "Music": {"Cassettes": {}, "Vinyl": {"Jazz": {}}}}
        assert list(tree) == ["Books", "Music"]
        assert list(tree["Music"]) == ["Cassettes", "Vinyl"]

    async def test_a_part_of_the_tree_is_read_by_its_parent_and_its_levels(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        music = await a_category(session, "Music")
        vinyl = await a_category(session, "Vinyl", music)
        await a_category(session, "Jazz", vinyl)
        await a_category(session, "Cassettes", music)
        await a_category(session, "Books")

        async def part(**query: int) -> dict[str, Any]:
            return outline((await client.get("/categories/tree", params=query)).json())

        assert await part(levels=1) == {"Books": {}, "Music": {}}
        assert await part(levels=2) == {"Books": {}, "Music": {"Cassettes": {}, "Vinyl": {}}}
        assert await part(levels=MAX_DEPTH) == outline((await client.get("/categories/tree")).json())
        assert await part(parent_id=music.id) == {"Cassettes": {}, "Vinyl": {"Jazz": {}}}
        assert await part(parent_id=music.id, levels=1) == {"Cassettes": {}, "Vinyl": {}}
        assert await part(parent_id=vinyl.id) == {"Jazz": {}}
        assert await part(parent_id=MAX_ID) == {}

    @pytest.mark.parametrize(
        ("query", "field"), [({"levels": 0}, "query.levels"), ({"levels": MAX_DEPTH + 1}, "query.levels")], ids=str
    )
    async def test_an_impossible_part_of_the_tree_is_refused(
        self, client: AsyncClient, query: dict[str, int], field: str
    ) -> None:
        assert_refused(await client.get("/categories/tree", params=query), 422, field)

    async def test_a_large_tree_is_nested_beside_other_requests(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        """In a thread: 20,000 categories take a quarter of a second, and the event loop never waits for 50 ms."""
        parents = [await a_category(session, f"Parent {number:02}") for number in range(20)]
        rows = [
            {"name": f"Child {number:04}", "slug": f"child-{number}", "parent_id": parents[number % 20].id}
            for number in range(FEW_ROWS)
        ]
        await session.exec(insert(Category), params=rows)
        loop, threads = threading.get_ident(), set()

        with pytest.MonkeyPatch.context() as patch:
            nest = trees._nested

            def noted(*arguments: Any) -> bytes:
                threads.add(threading.get_ident())
                return nest(*arguments)

            patch.setattr(trees, "_nested", noted)
            tree = (await client.get("/categories/tree")).json()

        assert [each["name"] for each in tree] == [each.name for each in parents]
        assert sum(len(each["children"]) for each in tree) == FEW_ROWS
        assert threads
        assert loop not in threads

    async def test_the_tree_costs_one_statement_whatever_its_depth(
        self, client: AsyncClient, session: AsyncSession, database: Database
    ) -> None:
        category = None
        for depth in range(30):
            category = await a_category(session, f"Depth {depth}", category)

        with count_statements(database) as statements:
            await client.get("/categories/tree")
        assert len(statements) == 1


class TestReadCategory:
    async def test_anyone_can_read_a_category_in_one_statement(
        self, client: AsyncClient, session: AsyncSession, database: Database
    ) -> None:
        parent = await a_category(session, "Music")
        category = await a_category(session, "Vinyl", parent, description="Black.")

        with count_statements(database) as statements:
            response = await client.get(f"/categories/{category.id}")

        assert response.status_code == 200
        body = response.json()
        assert (body["name"], body["description"], body["parent_id"]) == ("Vinyl", "Black.", parent.id)
        assert len(statements) == 1

    @pytest.mark.parametrize("category_id", [1_000_000, MAX_ID])
    async def test_a_category_that_does_not_exist_is_not_found(self, client: AsyncClient, category_id: int) -> None:
        assert_refused(await client.get(f"/categories/{category_id}"), 404, "no such category")

    @pytest.mark.parametrize("category_id", [0, -1, MAX_ID + 1, "one", "1.5", "1e3"])
    async def test_an_invalid_id_is_refused(self, client: AsyncClient, category_id: Any) -> None:
        assert_refused(await client.get(f"/categories/{category_id}"), 422, "path.id")

    @pytest.mark.parametrize(
        "path", ["/categories", "/categories/tree", "/categories/{id}", "/categories/{id}/products"]
    )
    async def test_a_path_with_a_trailing_slash_gets_the_same_answer(
        self, client: AsyncClient, session: AsyncSession, path: str
    ) -> None:
        category = await a_category(session, "Audio")
        path = path.format(id=category.id)

        without, with_slash = await client.get(path), await client.get(f"{path}/")

        assert (without.status_code, with_slash.status_code) == (200, 200)
        assert without.content == with_slash.content


class TestListCategoryProducts:
    async def test_only_active_products_of_the_category_itself_are_listed(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        music = await a_category(session, "Music")
        vinyl = await a_category(session, "Vinyl", music)
        await a_product(session, "Turntable", music)
        await a_product(session, "Amplifier", music)
        await a_product(session, "Gramophone", music, is_active=False)
        await a_product(session, "Kind of Blue", vinyl)
        await a_product(session, "Shoe", None)

        response = await client.get(f"/categories/{music.id}/products")

        assert names(response.json()) == ["Amplifier", "Turntable"]
        assert response.json()["items"][0]["price"] == "9.99"

    async def test_an_inactive_product_is_not_listed_even_when_recursive(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        category = await a_category(session)
        await a_product(session, "For sale", category)
        await a_product(session, "Inactive", category, is_active=False)

        for recursive in (False, True):
            page = await client.get(f"/categories/{category.id}/products", params={"recursive": recursive})
            assert (names(page.json()), page.json()["total"]) == (["For sale"], 1)

    async def test_products_of_all_descendants_are_listed_when_recursive(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        category: Category | None = None
        for depth in range(5):
            category = await a_category(session, f"Depth {depth}", category)
            await a_product(session, f"Product {depth}", category)
        top = (await session.exec(select(Category).where(Category.name == "Depth 1"))).one()

        response = await client.get(f"/categories/{top.id}/products", params={"recursive": True})

        assert names(response.json()) == [f"Product {depth}" for depth in range(1, 5)]
        assert response.json()["total"] == 4

    async def test_the_products_of_a_category_that_does_not_exist_are_not_found(self, client: AsyncClient) -> None:
        assert_refused(await client.get("/categories/1000000/products"), 404)

    @pytest.mark.parametrize("recursive", [False, True])
    @pytest.mark.parametrize("size", [1, 30])
    async def test_a_page_costs_two_statements_whatever_its_size(
        self, client: AsyncClient, session: AsyncSession, database: Database, size: int, recursive: bool
    ) -> None:
        category = await a_category(session, "Music")
        for number in range(size):
            await a_product(session, f"Product {number}", await a_category(session, f"Below {number}", category))

        with count_statements(database) as statements:
            await client.get(f"/categories/{category.id}/products", params={"recursive": recursive, "page_size": 100})
        assert len(statements) == 2
