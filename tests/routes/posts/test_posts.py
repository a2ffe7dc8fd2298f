"""/posts: access to every route, listing and reading."""

from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.post import PostStatus
from api.models.types import MAX_ID
from api.models.user import User
from tests import world
from tests.factories import a_post, a_user
from tests.routes.posts.support import POST_BODY, some_tags, titles
from tests.support import assert_refused, count_statements

ACCESS = """
                                              nobody  owner  other  staff
GET    /posts                                    200    200    200    200
GET    /posts  (the owner's drafts)              200    200    200    200
GET    /posts/by-slug/{slug}                     200    200    200    200
GET    /posts/by-slug/{slug}  (draft)            404    200    404    200
GET    /posts/{id}                               200    200    200    200
GET    /posts/{id}  (draft)                      404    200    404    200
POST   /posts                                    401    201    201    201
PUT    /posts/{id}                               401    200    404    200
PATCH  /posts/{id}                               401    200    404    200
PATCH  /posts/{id}  (draft)                      401    200    404    200
DELETE /posts/{id}                               401    204    404    204
"""

LETTER = {"title": "Letter", "content": "Dear all"}

REQUESTS: dict[str, dict[str, Any]] = {
    "GET /posts (the owner's drafts)": {"params": {"status": "draft", "author_id": world.OWNER}},
    "GET /posts/by-slug/{slug}": {"slug": "published"},
    "GET /posts/by-slug/{slug} (draft)": {"slug": world.PRIVATE},
    "GET /posts/{id} (draft)": {"id": world.DRAFT},
    "POST /posts": {"json": LETTER},
    "PUT /posts/{id}": {"json": LETTER},
    "PATCH /posts/{id}": {"json": {"content": "Dear all"}},
    "PATCH /posts/{id} (draft)": {"id": world.DRAFT, "json": {"status": "published"}},
}
"""What is sent on a line of `ACCESS`, and what stands in the path where it is not the row of the world."""

LISTED_FIELDS = {
    "id",
    "title",
    "slug",
    "status",
    "view_count",
    "published_at",
    "created_at",
    "updated_at",
    "tags",
    "author",
}
INVALID_IDS = ["0", "-1", str(MAX_ID + 1), "9" * 4_000, "9" * 5_000, "one", "1.5"]


class TestListPosts:
    async def test_the_list_is_empty_in_a_new_shop(self, client: AsyncClient) -> None:
        assert (await client.get("/posts")).json()["items"] == []

    async def test_posts_are_listed_newest_first_with_author_and_tags_but_without_content(
        self, client: AsyncClient, customer: User, staff: User, session: AsyncSession
    ) -> None:
        vinyl, audio = await some_tags(session, "vinyl", "audio")
        await a_post(session, customer, "First", tags=[vinyl, audio])
        await a_post(session, staff, "Second")

        response = await client.get("/posts")

        second, first_item = response.json()["items"]
        assert (second["title"], first_item["title"]) == ("Second", "First")
        assert first_item.keys() == LISTED_FIELDS
        assert first_item["author"] == {"id": customer.id, "username": "customer"}
        assert [each["slug"] for each in first_item["tags"]] == ["audio", "vinyl"]
        assert second["tags"] == []

    async def test_the_tag_filter_lists_only_posts_with_that_tag(
        self, client: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        vinyl, audio = await some_tags(session, "vinyl", "audio")
        await a_post(session, customer, "Two tags", tags=[vinyl, audio])
        await a_post(session, customer, "One tag", tags=[audio])
        await a_post(session, customer, "No tag")

        assert titles(await client.get("/posts", params={"tag": "audio"})) == ["One tag", "Two tags"]
        vinyl_only = await client.get("/posts", params={"tag": "vinyl"})
        assert (titles(vinyl_only), vinyl_only.json()["total"]) == (["Two tags"], 1)
        assert len(vinyl_only.json()["items"][0]["tags"]) == 2
        assert titles(await client.get("/posts", params={"tag": "nothing"})) == []

    async def test_the_author_filter_lists_only_posts_of_that_author(
        self, client: AsyncClient, customer: User, other_customer: User, session: AsyncSession
    ) -> None:
        await a_post(session, customer, "Mine")
        await a_post(session, other_customer, "Theirs")

        assert titles(await client.get("/posts", params={"author_id": customer.id})) == ["Mine"]
        assert titles(await client.get("/posts", params={"author_id": MAX_ID})) == []

    async def test_the_status_filter_lists_only_posts_in_that_status(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        for status in PostStatus:
            await a_post(session, customer, status.value, status=status)

        for status in PostStatus:
            assert titles(await as_customer.get("/posts", params={"status": status.value})) == [status.value]

    @pytest.mark.parametrize("search", ["HEAD", "stened", "école", "ÉCOLE", "100%", "a_b", "%", "_"])
    async def test_the_search_finds_a_part_of_the_title_or_the_content(
        self, client: AsyncClient, customer: User, session: AsyncSession, search: str
    ) -> None:
        await a_post(session, customer, "Headphones at the École", content="We listened 100% a_b.")
        await a_post(session, customer, "Ecole 1000", content="axb")

        assert titles(await client.get("/posts", params={"search": search})) == ["Headphones at the École"]

    async def test_a_listed_post_matches_every_filter(
        self, as_customer: AsyncClient, customer: User, other_customer: User, session: AsyncSession
    ) -> None:
        (audio,) = await some_tags(session, "audio")
        for author, title, status in (
            (customer, "Vinyl one", PostStatus.DRAFT),
            (customer, "Vinyl two", PostStatus.PUBLISHED),
            (other_customer, "Vinyl three", PostStatus.DRAFT),
            (customer, "Tape", PostStatus.DRAFT),
        ):
            await a_post(session, author, title, status=status, tags=[audio])
        query: dict[str, Any] = {"search": "vinyl", "status": "draft", "tag": "audio", "author_id": customer.id}

        assert titles(await as_customer.get("/posts", params=query)) == ["Vinyl one"]

    async def test_every_post_is_listed_exactly_once_in_pages_and_by_cursor(
        self, client: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        ids = [(await a_post(session, customer)).id for _ in range(5)]

        pages = [(await client.get("/posts", params={"page": page, "page_size": 2})).json() for page in (1, 2, 3, 4)]
        assert [item["id"] for page in pages for item in page["items"]] == ids[::-1]
        assert (pages[3]["items"], pages[3]["total"], pages[3]["has_next"]) == ([], 5, False)

        first = (await client.get("/posts", params={"cursor": "", "page_size": 3})).json()
        await a_post(session, customer)  # a new post shifts the pages, but not the cursor
        rest = (await client.get("/posts", params={"cursor": first["next_cursor"], "page_size": 3})).json()
        assert [item["id"] for page in (first, rest) for item in page["items"]] == ids[::-1]
        assert rest["next_cursor"] is None

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ({"status": "lost"}, "query.status"),
            ({"status": "PUBLISHED"}, "query.status"),
            ({"tag": "x" * 121}, "query.tag"),
            ({"tag": "a\0b"}, "query.tag"),
            ({"author_id": 0}, "query.author_id"),
            ({"author_id": MAX_ID + 1}, "query.author_id"),
            ({"author_id": "9" * 4_000}, "query.author_id"),
            ({"search": "\0"}, "query.search"),
            ({"page": 0}, "query.page"),
            ({"cursor": "nonsense"}, "query.cursor"),
        ],
        ids=lambda value: str(value)[:30],
    )
    async def test_an_invalid_query_parameter_is_refused(
        self, client: AsyncClient, query: dict[str, Any], field: str
    ) -> None:
        assert_refused(await client.get("/posts", params=query), 422, field)

    @pytest.mark.parametrize("size", [1, 20])
    async def test_a_page_costs_one_statement_whatever_its_size(
        self, client: AsyncClient, session: AsyncSession, database: Database, size: int
    ) -> None:
        for number in range(size):
            await a_post(session, await a_user(session), tags=await some_tags(session, f"a-{number}", f"b-{number}"))

        with count_statements(database) as statements:
            response = await client.get("/posts", params={"page_size": 100})
        assert len(response.json()["items"]) == size
        assert len(statements) == 1  # the count, the posts with their authors, the tags
        with count_statements(database) as statements:
            await client.get("/posts", params={"page_size": 100, "cursor": ""})
        assert len(statements) == 1


class TestReadPost:
    async def test_a_post_is_read_with_its_content_author_and_tags(
        self, client: AsyncClient, customer: User, session: AsyncSession, database: Database
    ) -> None:
        post = await a_post(session, customer, tags=await some_tags(session, "vinyl", "audio"))

        with count_statements(database) as statements:
            response = await client.get(f"/posts/{post.id}")

        assert response.json().keys() == LISTED_FIELDS | {"content"}
        assert response.json()["content"] == "We listened."
        assert [each["name"] for each in response.json()["tags"]] == ["Audio", "Vinyl"]
        assert [statement.split()[0] for statement in statements] == ["SELECT", "UPDATE"]

    async def test_a_post_read_by_its_slug_is_the_same(
        self, client: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        post = await a_post(session, customer, slug="ten-headphones")

        by_slug, by_id = await client.get("/posts/by-slug/ten-headphones"), await client.get(f"/posts/{post.id}")

        assert {**by_slug.json(), "view_count": 1} == by_id.json()

    @pytest.mark.parametrize("path", ["/posts/1000000", f"/posts/{MAX_ID}", "/posts/by-slug/no", "/posts/by-slug/É"])
    async def test_a_post_that_does_not_exist_is_not_found(self, client: AsyncClient, path: str) -> None:
        assert_refused(await client.get(path), 404, "no such post")

    @pytest.mark.parametrize("post_id", INVALID_IDS, ids=lambda value: value[:25])
    @pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
    async def test_an_invalid_id_is_refused(self, as_staff: AsyncClient, method: str, post_id: str) -> None:
        assert_refused(await as_staff.request(method, f"/posts/{post_id}", json=POST_BODY), 422, "path.id")

    @pytest.mark.parametrize("slug", ["%00", "x" * 301])
    async def test_an_invalid_slug_is_refused(self, client: AsyncClient, slug: str) -> None:
        assert_refused(await client.get(f"/posts/by-slug/{slug}"), 422, "path.slug")
