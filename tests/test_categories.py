"""/categories: reading by anyone, keeping by staff, and a tree that never has a cycle."""

import asyncio
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel import col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.category import Category
from api.models.product import Product
from api.models.types import MAX_ID
from api.rules.category_tree import MAX_DEPTH
from tests.support import assert_refused, count_statements, save

numbers = count(1)


@pytest.fixture(autouse=True)
async def bare_shop(session: AsyncSession) -> None:
    """Without the categories that a new shop begins with."""
    await session.exec(delete(Category))


async def a_category(session: AsyncSession, name: str, parent: Category | None = None, **fields: Any) -> Category:
    fields = {"slug": f"category-{next(numbers)}", "parent_id": parent.id if parent else None, **fields}
    category = Category(name=name, **fields)
    await save(session, category)
    return category


async def a_product(session: AsyncSession, name: str, category: Category | None, **fields: Any) -> Product:
    number = next(numbers)
    fields = {"slug": f"product-{number}", "sku": f"P-{number}", "price": Decimal("9.99"), **fields}
    product = Product(name=name, category_id=category.id if category else None, **fields)
    await save(session, product)
    return product


async def parents(session: AsyncSession) -> dict[int, int | None]:
    return dict((await session.exec(select(Category.id, Category.parent_id))).all())


def names(page: Any) -> list[str]:
    return [item["name"] for item in page["items"]]


def has_cycle(parent_of: dict[int, int | None]) -> bool:
    for start in parent_of:
        seen = {start}
        ancestor = parent_of[start]
        while ancestor is not None:
            if ancestor in seen:
                return True
            seen.add(ancestor)
            ancestor = parent_of[ancestor]
    return False


class TestListCategories:
    async def test_there_are_none_at_first(self, client: AsyncClient) -> None:
        response = await client.get("/categories")

        assert response.json() == {
            "items": [],
            "total": 0,
            "page": 1,
            "page_size": 20,
            "total_pages": 0,
            "has_next": False,
            "has_previous": False,
        }

    async def test_anyone_reads_them_by_name(self, client: AsyncClient, session: AsyncSession) -> None:
        for name in ("Shoes", "Audio", "Émile", "books"):
            await a_category(session, name)

        response = await client.get("/categories")

        assert names(response.json()) == ["Audio", "Shoes", "books", "Émile"]

    async def test_what_is_shown_of_each(self, client: AsyncClient, session: AsyncSession) -> None:
        category = await a_category(session, "Audio", slug="audio", description="Sound.")

        (item,) = (await client.get("/categories")).json()["items"]

        assert item.keys() == {"id", "name", "slug", "description", "parent_id", "created_at", "updated_at"}
        assert (item["id"], item["slug"], item["description"]) == (category.id, "audio", "Sound.")

    @pytest.mark.parametrize("search", ["audio", "AUDIO", "udi", "sound", "o & h"])
    async def test_search_finds_names_and_descriptions_whatever_the_case(
        self, client: AsyncClient, session: AsyncSession, search: str
    ) -> None:
        await a_category(session, "Audio & Hi-Fi", description="All that makes a SOUND.")
        await a_category(session, "Books")

        response = await client.get("/categories", params={"search": search})

        assert names(response.json()) == ["Audio & Hi-Fi"]
        assert response.json()["total"] == 1

    @pytest.mark.parametrize("search", ["école", "ÉCOLE", "École"])
    @pytest.mark.parametrize("name", ["École", "ÉCOLE", "école"])
    async def test_search_knows_the_case_of_every_letter(
        self, client: AsyncClient, session: AsyncSession, name: str, search: str
    ) -> None:
        await a_category(session, name)

        response = await client.get("/categories", params={"search": search})

        assert names(response.json()) == [name]

    async def test_search_tells_an_accent_from_none(self, client: AsyncClient, session: AsyncSession) -> None:
        await a_category(session, "Ecole")

        assert names((await client.get("/categories", params={"search": "école"})).json()) == []

    @pytest.mark.parametrize("search", ["%", "_", "\\", "/", "100%", "a_b", "'"])
    async def test_wildcards_stand_for_themselves(
        self, client: AsyncClient, session: AsyncSession, search: str
    ) -> None:
        await a_category(session, f"x {search} y")
        await a_category(session, "x 1000 aXb y")

        response = await client.get("/categories", params={"search": search})

        assert names(response.json()) == [f"x {search} y"]

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ({"search": ""}, "query.search"),
            ({"search": "x" * 101}, "query.search"),
            ({"search": "a\0b"}, "query.search"),
            ({"page": 0}, "query.page"),
            ({"page": "one"}, "query.page"),
            ({"page_size": 0}, "query.page_size"),
            ({"page_size": 101}, "query.page_size"),
            ({"cursor": "nonsense"}, "query.cursor"),
        ],
    )
    async def test_a_bad_query_is_refused(self, client: AsyncClient, query: dict[str, Any], field: str) -> None:
        response = await client.get("/categories", params=query)

        assert_refused(response, 422, field)
        assert response.json()["errors"][0]["field"] == field

    @pytest.mark.parametrize("size", [1, 30])
    async def test_takes_two_statements_whatever_the_size(
        self, client: AsyncClient, session: AsyncSession, database: Database, size: int
    ) -> None:
        for number in range(size):
            await a_category(session, f"Category {number}")

        with count_statements(database) as statements:
            await client.get("/categories", params={"page_size": 100})
        assert len(statements) == 2
        with count_statements(database) as statements:
            await client.get("/categories", params={"page_size": 100, "cursor": ""})
        assert len(statements) == 1

    @pytest.mark.parametrize(
        "path", ["/categories", "/categories/tree", "/categories/{id}", "/categories/{id}/products"]
    )
    async def test_a_trailing_slash_makes_no_difference(
        self, client: AsyncClient, session: AsyncSession, path: str
    ) -> None:
        category = await a_category(session, "Audio")
        path = path.format(id=category.id)

        without, with_slash = await client.get(path), await client.get(f"{path}/")

        assert (without.status_code, with_slash.status_code) == (200, 200)
        assert without.content == with_slash.content


class TestCategoryTree:
    async def test_there_is_none_at_first(self, client: AsyncClient) -> None:
        assert (await client.get("/categories/tree")).json() == []

    async def test_children_stand_below_their_parents_by_name(self, client: AsyncClient, session: AsyncSession) -> None:
        music = await a_category(session, "Music")
        await a_category(session, "Books")
        vinyl = await a_category(session, "Vinyl", music)
        await a_category(session, "Cassettes", music)
        await a_category(session, "Jazz", vinyl)

        def outline(nodes: list[dict[str, Any]]) -> dict[str, Any]:
            return {node["name"]: outline(node["children"]) for node in nodes}

        tree = outline((await client.get("/categories/tree")).json())

        assert tree == {"Books": {}, "Music": {"Cassettes": {}, "Vinyl": {"Jazz": {}}}}
        assert list(tree) == ["Books", "Music"]
        assert list(tree["Music"]) == ["Cassettes", "Vinyl"]

    async def test_takes_one_statement_however_deep(
        self, client: AsyncClient, session: AsyncSession, database: Database
    ) -> None:
        category = None
        for depth in range(30):
            category = await a_category(session, f"Depth {depth}", category)

        with count_statements(database) as statements:
            await client.get("/categories/tree")
        assert len(statements) == 1

    async def test_is_as_deep_as_it_may_be_and_no_deeper(
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
        assert_refused(deeper, 409, "100 deep at most")
        assert_refused(pushed, 409, "100 deep at most")


class TestReadCategory:
    async def test_anyone_reads_one(self, client: AsyncClient, session: AsyncSession, database: Database) -> None:
        parent = await a_category(session, "Music")
        category = await a_category(session, "Vinyl", parent, description="Black.")

        with count_statements(database) as statements:
            response = await client.get(f"/categories/{category.id}")

        assert response.status_code == 200
        body = response.json()
        assert (body["name"], body["description"], body["parent_id"]) == ("Vinyl", "Black.", parent.id)
        assert len(statements) == 1

    @pytest.mark.parametrize("category_id", [1_000_000, MAX_ID])
    async def test_one_that_does_not_exist_is_not_found(self, client: AsyncClient, category_id: int) -> None:
        assert_refused(await client.get(f"/categories/{category_id}"), 404, "no such category")

    @pytest.mark.parametrize("category_id", [0, -1, MAX_ID + 1, "one", "1.5", "1e3"])
    async def test_what_cannot_be_an_id_is_refused(self, client: AsyncClient, category_id: Any) -> None:
        assert_refused(await client.get(f"/categories/{category_id}"), 422, "path.id")


class TestListCategoryProducts:
    async def test_only_active_ones_of_the_category_itself(self, client: AsyncClient, session: AsyncSession) -> None:
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

    async def test_those_of_all_categories_below_when_recursive(
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

    async def test_of_no_category_is_not_found(self, client: AsyncClient) -> None:
        assert_refused(await client.get("/categories/1000000/products"), 404)

    @pytest.mark.parametrize("recursive", [False, True])
    @pytest.mark.parametrize("size", [1, 30])
    async def test_takes_three_statements_whatever_the_size(
        self, client: AsyncClient, session: AsyncSession, database: Database, size: int, recursive: bool
    ) -> None:
        category = await a_category(session, "Music")
        for number in range(size):
            await a_product(session, f"Product {number}", await a_category(session, f"Below {number}", category))

        with count_statements(database) as statements:
            await client.get(f"/categories/{category.id}/products", params={"recursive": recursive, "page_size": 100})
        assert len(statements) == 3


class TestCreateCategory:
    async def test_staff_add_one(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        parent = await a_category(session, "Music")

        response = await as_staff.post(
            "/categories",
            json={"name": " Vinyl ", "slug": "records", "description": "Black.", "parent_id": parent.id},
        )

        assert response.status_code == 201
        category = await session.get(Category, response.json()["id"])
        assert category is not None
        assert (category.name, category.slug, category.description) == ("Vinyl", "records", "Black.")
        assert category.parent_id == parent.id
        read = await as_staff.get(f"/categories/{category.id}")
        assert read.json() == response.json()

    async def test_nobody_else_does(self, client: AsyncClient, as_customer: AsyncClient, session: AsyncSession) -> None:
        assert_refused(await client.post("/categories", json={"name": "Audio"}), 401)
        assert_refused(await as_customer.post("/categories", json={"name": "Audio"}), 403)
        assert await parents(session) == {}

    async def test_a_token_that_is_not_valid_is_refused(self, client: AsyncClient) -> None:
        response = await client.post(
            "/categories", json={"name": "A"}, headers={"Authorization": "Bearer shop_nonsense"}
        )

        assert_refused(response, 401)
        assert response.headers["WWW-Authenticate"] == "Bearer"

    @pytest.mark.parametrize(
        ("name", "slug"),
        [
            ("Audio & Hi-Fi", "audio-hi-fi"),
            ("École d'été", "ecole-d-ete"),
            ("日本", "ri-ben"),
            ("!!!", "category"),
            ("🎧", "category"),
        ],
    )
    async def test_the_slug_is_made_from_the_name(self, as_staff: AsyncClient, name: str, slug: str) -> None:
        response = await as_staff.post("/categories", json={"name": name})

        assert response.status_code == 201
        assert (response.json()["name"], response.json()["slug"]) == (name, slug)

    async def test_a_slug_that_is_taken_gets_digits_behind_it(self, as_staff: AsyncClient) -> None:
        first, second = [await as_staff.post("/categories", json={"name": name}) for name in ("Hi-Fi", "Hi Fi")]

        assert first.json()["slug"] == "hi-fi"
        assert second.json()["slug"].startswith("hi-fi-")

    @pytest.mark.parametrize("field", ["name", "slug"])
    async def test_name_and_slug_are_unique(self, as_staff: AsyncClient, session: AsyncSession, field: str) -> None:
        await a_category(session, "Audio", slug="audio")
        new = {"name": "Books", "slug": "books", field: {"name": "Audio", "slug": "audio"}[field]}

        assert_refused(await as_staff.post("/categories", json=new), 409, f"{field} is already taken")
        assert len(await parents(session)) == 1

    async def test_names_differ_by_case_and_accent(self, as_staff: AsyncClient) -> None:
        for name in ("Ecole", "ecole", "École", "ECOLE"):
            assert (await as_staff.post("/categories", json={"name": name})).status_code == 201

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"name": None}, "body.name"),
            ({"name": ""}, "body.name"),
            ({"name": "   "}, "body.name"),
            ({"name": "x" * 101}, "body.name"),
            ({"name": 1}, "body.name"),
            ({"name": ["Audio"]}, "body.name"),
            ({"name": "a\0b"}, "body.name"),
            ({"slug": ""}, "body.slug"),
            ({"slug": "Audio"}, "body.slug"),
            ({"slug": "a--b"}, "body.slug"),
            ({"slug": "x" * 121}, "body.slug"),
            ({"description": "x" * 2_001}, "body.description"),
            ({"description": "\0"}, "body.description"),
            ({"parent_id": 0}, "body.parent_id"),
            ({"parent_id": -1}, "body.parent_id"),
            ({"parent_id": MAX_ID + 1}, "body.parent_id"),
            ({"parent_id": 1.5}, "body.parent_id"),
            ({"parent_id": 1_000_000}, "body.parent_id"),
            ({"id": 7}, "body.id"),
            ({"created_at": "2020-01-01T00:00:00Z"}, "body.created_at"),
            ({"colour": "red"}, "body.colour"),
        ],
        ids=lambda value: str(value)[:30],
    )
    async def test_bad_input_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession, changes: dict[str, Any], field: str
    ) -> None:
        response = await as_staff.post("/categories", json={"name": "Audio", **changes})

        assert_refused(response, 422, field)
        assert [error["field"] for error in response.json()["errors"]] == [field]
        assert await parents(session) == {}

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"", 422),
            (b"{", 422),
            (b"null", 422),
            (b"[]", 422),
            (b'"Audio"', 422),
            (b"1", 422),
            (b"{}", 422),
            (b'{"name": NaN}', 422),
            (b'{"name": "\\ud800"}', 422),
            (b'{"name": "\xff"}', 400),
            (b"[" * 100_000, 400),
            (b'{"name": "Audio", "parent_id": 1' + b"0" * 5_000 + b"}", 400),
        ],
        ids=lambda value: repr(value)[:40],
    )
    async def test_a_body_that_is_no_category_is_refused(self, as_staff: AsyncClient, body: bytes, status: int) -> None:
        response = await as_staff.post("/categories", content=body, headers={"Content-Type": "application/json"})

        assert_refused(response, status, "body")

    async def test_a_body_of_another_content_type_is_refused(self, as_staff: AsyncClient) -> None:
        response = await as_staff.post(
            "/categories", content=b'{"name": "Audio"}', headers={"Content-Type": "text/plain"}
        )

        assert_refused(response, 422, "body")

    async def test_a_body_that_is_too_large_is_refused(self, as_staff: AsyncClient) -> None:
        response = await as_staff.post("/categories", json={"name": "Audio", "description": "x" * 2_000_000})

        assert_refused(response, 413)

    async def test_the_longest_values_are_stored(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        longest = {"name": "🎧" * 100, "slug": "x" * 120, "description": "🎧" * 2_000}

        response = await as_staff.post("/categories", json=longest)

        category = await session.get(Category, response.json()["id"])
        assert category is not None
        assert {field: getattr(category, field) for field in longest} == longest

    async def test_of_two_with_one_name_at_once_one_is_made(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        for number in range(10):
            new = {"name": f"Category {number}"}
            responses = await asyncio.gather(*(as_staff.post("/categories", json=new) for _ in range(4)))
            assert sorted(response.status_code for response in responses) == [201, 409, 409, 409]

        assert len(await parents(session)) == 10

    @pytest.mark.parametrize("size", [1, 30])
    async def test_takes_as_many_statements_whatever_the_size_of_the_tree(
        self, as_staff: AsyncClient, session: AsyncSession, database: Database, size: int
    ) -> None:
        category = None
        for number in range(size):
            category = await a_category(session, f"Category {number}", category)
        assert category is not None

        with count_statements(database) as statements:
            await as_staff.post("/categories", json={"name": "Audio", "parent_id": category.id})
        assert len(statements) == 4  # the token, the tree, the slug, the row


class TestReplaceCategory:
    async def test_what_is_absent_is_cleared(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        parent = await a_category(session, "Music")
        category = await a_category(session, "Vinyl", parent, description="Black.", slug="vinyl")

        response = await as_staff.put(f"/categories/{category.id}", json={"name": "Records"})

        assert response.status_code == 200
        stored = await session.get(Category, category.id)
        assert stored is not None
        assert (stored.name, stored.description, stored.parent_id) == ("Records", None, None)
        assert stored.slug == "vinyl", "links to it still work"
        assert response.json() == (await as_staff.get(f"/categories/{category.id}")).json()

    async def test_all_that_is_sent_is_written(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        parent = await a_category(session, "Music")
        category = await a_category(session, "Vinyl")
        new = {"name": "Records", "slug": "records", "description": "Round.", "parent_id": parent.id}

        response = await as_staff.put(f"/categories/{category.id}", json=new)

        assert new.items() <= response.json().items()

    async def test_the_same_again_changes_nothing_else(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        category = await a_category(session, "Vinyl", slug="vinyl")

        first, second = [
            (await as_staff.put(f"/categories/{category.id}", json={"name": "Vinyl"})).json() for _ in range(2)
        ]

        assert first == second

    @pytest.mark.parametrize(
        ("body", "field"), [({}, "body.name"), ({"name": None}, "body.name"), ({"name": "A", "x": 1}, "body.x")]
    )
    async def test_bad_input_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession, body: dict[str, Any], field: str
    ) -> None:
        category = await a_category(session, "Vinyl")

        assert_refused(await as_staff.put(f"/categories/{category.id}", json=body), 422, field)

    async def test_a_name_that_is_taken_is_refused(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        await a_category(session, "Music")
        category = await a_category(session, "Vinyl")

        response = await as_staff.put(f"/categories/{category.id}", json={"name": "Music"})

        assert_refused(response, 409, "name is already taken")

    async def test_nobody_but_staff_does(
        self, client: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        category = await a_category(session, "Vinyl")

        assert_refused(await client.put(f"/categories/{category.id}", json={"name": "X"}), 401)
        assert_refused(await as_customer.put(f"/categories/{category.id}", json={"name": "X"}), 403)
        stored = await session.get(Category, category.id)
        assert stored is not None
        assert stored.name == "Vinyl"

    async def test_one_that_does_not_exist_is_not_found(self, as_staff: AsyncClient) -> None:
        assert_refused(await as_staff.put("/categories/1000000", json={"name": "X"}), 404)


class TestUpdateCategory:
    @pytest.mark.parametrize("change", [{"name": "Records"}, {"slug": "records"}, {"description": "Round."}, {}])
    async def test_only_what_is_sent_changes(
        self, as_staff: AsyncClient, session: AsyncSession, change: dict[str, Any]
    ) -> None:
        parent = await a_category(session, "Music")
        category = await a_category(session, "Vinyl", parent, description="Black.")
        before = (await as_staff.get(f"/categories/{category.id}")).json()

        response = await as_staff.patch(f"/categories/{category.id}", json=change)

        after = (await as_staff.get(f"/categories/{category.id}")).json()
        assert response.json() == after
        assert after == {**before, **change, "updated_at": after["updated_at"]}
        assert (after["updated_at"] > before["updated_at"]) == bool(change)

    @pytest.mark.parametrize("field", ["description", "parent_id"])
    async def test_null_clears_what_may_be_empty(
        self, as_staff: AsyncClient, session: AsyncSession, field: str
    ) -> None:
        parent = await a_category(session, "Music")
        category = await a_category(session, "Vinyl", parent, description="Black.")

        response = await as_staff.patch(f"/categories/{category.id}", json={field: None})

        assert response.json()[field] is None
        stored = await session.get(Category, category.id)
        assert getattr(stored, field) is None

    @pytest.mark.parametrize("field", ["name", "slug"])
    async def test_null_is_refused_where_a_value_must_be(
        self, as_staff: AsyncClient, session: AsyncSession, field: str
    ) -> None:
        category = await a_category(session, "Vinyl")

        response = await as_staff.patch(f"/categories/{category.id}", json={field: None})

        assert_refused(response, 422, f"body.{field}")

    @pytest.mark.parametrize("field", ["id", "created_at", "updated_at", "colour"])
    async def test_a_field_that_is_not_a_clients_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession, field: str
    ) -> None:
        category = await a_category(session, "Vinyl")

        assert_refused(await as_staff.patch(f"/categories/{category.id}", json={field: 1}), 422, f"body.{field}")

    @pytest.mark.parametrize("field", ["name", "slug"])
    async def test_name_and_slug_stay_unique(self, as_staff: AsyncClient, session: AsyncSession, field: str) -> None:
        await a_category(session, "Music", slug="music")
        category = await a_category(session, "Vinyl", slug="vinyl")
        taken = {"name": "Music", "slug": "music"}[field]

        response = await as_staff.patch(f"/categories/{category.id}", json={field: taken})

        assert_refused(response, 409, f"{field} is already taken")

    async def test_a_parent_that_does_not_exist_is_refused(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        category = await a_category(session, "Vinyl")

        response = await as_staff.patch(f"/categories/{category.id}", json={"parent_id": 1_000_000})

        assert_refused(response, 422, "body.parent_id")

    async def test_nobody_but_staff_does(
        self, client: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        category = await a_category(session, "Vinyl")

        assert_refused(await client.patch(f"/categories/{category.id}", json={"name": "X"}), 401)
        assert_refused(await as_customer.patch(f"/categories/{category.id}", json={"name": "X"}), 403)

    async def test_one_that_does_not_exist_is_not_found(self, as_staff: AsyncClient) -> None:
        assert_refused(await as_staff.patch("/categories/1000000", json={"name": "X"}), 404)

    @pytest.mark.parametrize("size", [1, 30])
    async def test_takes_as_many_statements_whatever_the_size_of_the_tree(
        self, as_staff: AsyncClient, session: AsyncSession, database: Database, size: int
    ) -> None:
        parent = None
        for number in range(size):
            parent = await a_category(session, f"Category {number}", parent)
        assert parent is not None
        category = await a_category(session, "Vinyl")

        with count_statements(database) as statements:
            await as_staff.patch(f"/categories/{category.id}", json={"parent_id": parent.id})
        assert len(statements) == 4  # the token, the row, the tree, the row again


class TestNoCategoryIsItsOwnAncestor:
    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    async def test_nor_its_own_parent(self, as_staff: AsyncClient, session: AsyncSession, method: str) -> None:
        category = await a_category(session, "Vinyl")

        response = await as_staff.request(
            method, f"/categories/{category.id}", json={"name": "Vinyl", "parent_id": category.id}
        )

        assert_refused(response, 409, "own ancestor")
        assert await parents(session) == {category.id: None}

    @pytest.mark.parametrize("method", ["PUT", "PATCH"])
    @pytest.mark.parametrize("depth", [1, 2, 20])
    async def test_at_any_depth(self, as_staff: AsyncClient, session: AsyncSession, method: str, depth: int) -> None:
        top = below = await a_category(session, "Top")
        for number in range(depth):
            below = await a_category(session, f"Below {number}", below)
        before = await parents(session)

        response = await as_staff.request(method, f"/categories/{top.id}", json={"name": "Top", "parent_id": below.id})

        assert_refused(response, 409, "own ancestor")
        assert await parents(session) == before

    async def test_moving_within_the_tree_is_fine(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        top = await a_category(session, "Top")
        left, right = await a_category(session, "Left", top), await a_category(session, "Right", top)

        response = await as_staff.patch(f"/categories/{left.id}", json={"parent_id": right.id})

        assert response.status_code == 200
        assert await parents(session) == {top.id: None, right.id: top.id, left.id: right.id}

    async def test_when_two_moves_at_once_would_close_a_cycle(
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

    async def test_when_many_move_and_come_and_go_at_once(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        for turn in range(8):
            ids = [(await a_category(session, f"Category {turn} {number}")).id for number in range(6)]
            responses = await asyncio.gather(
                *(
                    as_staff.patch(f"/categories/{each}", json={"parent_id": parent})
                    for each, parent in zip(ids, [*ids[1:], ids[0]], strict=True)  # a ring, if all of them were let
                ),
                as_staff.post("/categories", json={"name": f"New {turn}", "parent_id": ids[0]}),
                as_staff.delete(f"/categories/{ids[3]}"),
            )
            assert {response.status_code for response in responses} <= {200, 201, 204, 404, 409, 422}
            assert not has_cycle(await parents(session))


class TestDeleteCategory:
    async def test_it_is_gone(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        category = await a_category(session, "Vinyl")

        response = await as_staff.delete(f"/categories/{category.id}")

        assert (response.status_code, response.content) == (204, b"")
        assert await session.get(Category, category.id) is None
        assert_refused(await as_staff.get(f"/categories/{category.id}"), 404)
        assert_refused(await as_staff.delete(f"/categories/{category.id}"), 404)

    async def test_children_move_up_to_the_parent(self, as_staff: AsyncClient, session: AsyncSession) -> None:
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

    async def test_children_of_one_at_the_top_move_to_the_top(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        top = await a_category(session, "Top")
        child = await a_category(session, "Child", top)

        await as_staff.delete(f"/categories/{top.id}")

        assert await parents(session) == {child.id: None}

    async def test_its_products_are_left_without_a_category(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        parent = await a_category(session, "Music")
        category = await a_category(session, "Vinyl", parent)
        product = await a_product(session, "Kind of Blue", category)

        await as_staff.delete(f"/categories/{category.id}")

        stored = await session.get(Product, product.id)
        assert stored is not None
        assert stored.category_id is None

    async def test_nobody_but_staff_does(
        self, client: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        category = await a_category(session, "Vinyl")

        assert_refused(await client.delete(f"/categories/{category.id}"), 401)
        assert_refused(await as_customer.delete(f"/categories/{category.id}"), 403)
        assert await parents(session) == {category.id: None}

    async def test_one_that_does_not_exist_is_not_found(self, as_staff: AsyncClient) -> None:
        assert_refused(await as_staff.delete("/categories/1000000"), 404)

    async def test_its_id_is_not_given_to_another(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        category = await a_category(session, "Vinyl")
        await as_staff.delete(f"/categories/{category.id}")

        response = await as_staff.post("/categories", json={"name": "Books"})

        assert response.json()["id"] > category.id

    async def test_of_two_at_once_one_finds_it_gone(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        for number in range(10):
            category = await a_category(session, f"Category {number}")
            responses = await asyncio.gather(*(as_staff.delete(f"/categories/{category.id}") for _ in range(2)))
            assert sorted(response.status_code for response in responses) == [204, 404]

    async def test_while_it_is_changed(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        for number in range(10):
            category = await a_category(session, f"Category {number}")
            deleted, changed = await asyncio.gather(
                as_staff.delete(f"/categories/{category.id}"),
                as_staff.patch(f"/categories/{category.id}", json={"description": "New."}),
            )
            assert deleted.status_code == 204
            assert changed.status_code in {200, 404}
        assert await parents(session) == {}

    async def test_while_it_gets_children(self, as_staff: AsyncClient, session: AsyncSession) -> None:
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
    async def test_takes_as_many_statements_whatever_the_size(
        self, as_staff: AsyncClient, session: AsyncSession, database: Database, size: int
    ) -> None:
        category = await a_category(session, "Music")
        for number in range(size):
            child = await a_category(session, f"Child {number}", category)
            await a_product(session, f"Product {number}", child)

        with count_statements(database) as statements:
            await as_staff.delete(f"/categories/{category.id}")
        assert len(statements) == 5  # the token, the row, the tree, its children, itself
        assert (await session.exec(select(Category).where(col(Category.parent_id) == category.id))).all() == []
