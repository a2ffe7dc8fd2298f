"""/posts: anyone reads what is published; authors write their own, staff all."""

import asyncio
from itertools import count
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlmodel import select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.base import utcnow
from api.models.post import Post, PostStatus
from api.models.tag import PostTag, Tag
from api.models.types import MAX_ID
from api.models.user import User
from tests.conftest import Connect
from tests.support import PASSWORD_HASH, assert_refused, count_statements, save

LISTED = {
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
NEW = {"title": "Ten headphones, compared", "content": "We listened for a month."}
NO_IDS = ["0", "-1", str(MAX_ID + 1), "9" * 4_000, "9" * 5_000, "one", "1.5"]

numbers = count(1)


async def a_post(session: AsyncSession, author: User, title: str = "Ten headphones", **fields: Any) -> Post:
    fields = {"slug": f"post-{next(numbers)}", "content": "We listened.", "status": PostStatus.PUBLISHED, **fields}
    post = Post(author_id=author.id, title=title, **fields)
    await save(session, post)
    return post


async def tags(session: AsyncSession, *slugs: str) -> list[Tag]:
    made = [Tag(name=slug.title(), slug=slug) for slug in slugs]
    await save(session, *made)
    return made


async def tag(session: AsyncSession, post: Post, *tags: Tag) -> None:
    await save(session, *(PostTag(post_id=post.id, tag_id=each.id) for each in tags))


async def stored(session: AsyncSession, post_id: int) -> Post:
    post = await session.get(Post, post_id)
    assert isinstance(post, Post)
    return post


async def tags_stored(session: AsyncSession, post_id: int) -> list[str]:
    statement = select(Tag.slug).join(PostTag).where(PostTag.post_id == post_id).order_by(Tag.slug)
    return list((await session.exec(statement)).all())


async def how_many(session: AsyncSession) -> int:
    return len((await session.exec(select(Post.id))).all())


def titles(response: httpx.Response) -> list[str]:
    return [item["title"] for item in response.json()["items"]]


@pytest.fixture
async def readers(
    client: AsyncClient, as_customer: AsyncClient, as_other_customer: AsyncClient, as_staff: AsyncClient
) -> dict[str, AsyncClient]:
    """The author is `customer`."""
    return {"nobody": client, "author": as_customer, "other": as_other_customer, "staff": as_staff}


EVERYBODY = {"nobody", "author", "other", "staff"}
SEEN_BY = {
    PostStatus.DRAFT: {"author", "staff"},
    PostStatus.PUBLISHED: EVERYBODY,
    PostStatus.ARCHIVED: {"author", "staff"},
}


@pytest.mark.parametrize("status", PostStatus)
@pytest.mark.parametrize("who", sorted(EVERYBODY))
class TestWhoSeesWhat:
    async def test_by_id_and_by_slug(
        self, readers: dict[str, AsyncClient], customer: User, session: AsyncSession, status: PostStatus, who: str
    ) -> None:
        post = await a_post(session, customer, status=status)
        seen = who in SEEN_BY[status]

        for path in (f"/posts/{post.id}", f"/posts/by-slug/{post.slug}"):
            response = await readers[who].get(path)
            assert response.status_code == (200 if seen else 404)
            assert ("We listened." in response.text) == seen
        missing = await readers[who].get("/posts/1000000")
        assert seen or (await readers[who].get(f"/posts/{post.id}")).content == missing.content

    async def test_in_lists(
        self, readers: dict[str, AsyncClient], customer: User, session: AsyncSession, status: PostStatus, who: str
    ) -> None:
        await a_post(session, customer, "It", status=status)
        expected = ["It"] if who in SEEN_BY[status] else []

        for query in ({}, {"status": status.value}, {"author_id": customer.id}, {"search": "it"}):
            response = await readers[who].get("/posts", params=query)
            assert titles(response) == expected
            assert response.json()["total"] == len(expected)
        assert titles(await readers[who].get("/posts", params={"cursor": ""})) == expected


class TestListPosts:
    async def test_the_newest_first_with_author_and_tags_but_no_text(
        self, client: AsyncClient, customer: User, staff: User, session: AsyncSession
    ) -> None:
        vinyl, audio = await tags(session, "vinyl", "audio")
        first = await a_post(session, customer, "First")
        await tag(session, first, vinyl, audio)
        await a_post(session, staff, "Second")

        response = await client.get("/posts")

        second, first_item = response.json()["items"]
        assert (second["title"], first_item["title"]) == ("Second", "First")
        assert first_item.keys() == LISTED
        assert first_item["author"] == {"id": customer.id, "username": "customer"}
        assert [each["slug"] for each in first_item["tags"]] == ["audio", "vinyl"]
        assert second["tags"] == []

    async def test_there_are_none_at_first(self, client: AsyncClient) -> None:
        assert (await client.get("/posts")).json()["items"] == []

    async def test_by_tag(self, client: AsyncClient, customer: User, session: AsyncSession) -> None:
        vinyl, audio = await tags(session, "vinyl", "audio")
        for title, its_tags in (("Both", (vinyl, audio)), ("One", (audio,)), ("None", ())):
            await tag(session, await a_post(session, customer, title), *its_tags)

        assert titles(await client.get("/posts", params={"tag": "audio"})) == ["One", "Both"]
        vinyl_only = await client.get("/posts", params={"tag": "vinyl"})
        assert (titles(vinyl_only), vinyl_only.json()["total"]) == (["Both"], 1)
        assert len(vinyl_only.json()["items"][0]["tags"]) == 2
        assert titles(await client.get("/posts", params={"tag": "nothing"})) == []

    async def test_by_author(
        self, client: AsyncClient, customer: User, other_customer: User, session: AsyncSession
    ) -> None:
        await a_post(session, customer, "Mine")
        await a_post(session, other_customer, "Theirs")

        assert titles(await client.get("/posts", params={"author_id": customer.id})) == ["Mine"]
        assert titles(await client.get("/posts", params={"author_id": MAX_ID})) == []

    async def test_by_status(self, as_customer: AsyncClient, customer: User, session: AsyncSession) -> None:
        for status in PostStatus:
            await a_post(session, customer, status.value, status=status)

        for status in PostStatus:
            assert titles(await as_customer.get("/posts", params={"status": status.value})) == [status.value]

    @pytest.mark.parametrize("search", ["HEAD", "stened", "école", "ÉCOLE", "100%", "a_b", "%", "_"])
    async def test_search_finds_a_part_of_the_title_or_the_text(
        self, client: AsyncClient, customer: User, session: AsyncSession, search: str
    ) -> None:
        await a_post(session, customer, "Headphones at the École", content="We listened 100% a_b.")
        await a_post(session, customer, "Ecole 1000", content="axb")

        assert titles(await client.get("/posts", params={"search": search})) == ["Headphones at the École"]

    async def test_filters_combine(
        self, as_customer: AsyncClient, customer: User, other_customer: User, session: AsyncSession
    ) -> None:
        (audio,) = await tags(session, "audio")
        for author, title, status in (
            (customer, "Vinyl one", PostStatus.DRAFT),
            (customer, "Vinyl two", PostStatus.PUBLISHED),
            (other_customer, "Vinyl three", PostStatus.DRAFT),
            (customer, "Tape", PostStatus.DRAFT),
        ):
            await tag(session, await a_post(session, author, title, status=status), audio)
        query: dict[str, Any] = {"search": "vinyl", "status": "draft", "tag": "audio", "author_id": customer.id}

        assert titles(await as_customer.get("/posts", params=query)) == ["Vinyl one"]

    async def test_in_pages_and_by_cursor(self, client: AsyncClient, customer: User, session: AsyncSession) -> None:
        ids = [(await a_post(session, customer)).id for _ in range(5)]

        pages = [(await client.get("/posts", params={"page": page, "page_size": 2})).json() for page in (1, 2, 3, 4)]
        assert [item["id"] for page in pages for item in page["items"]] == ids[::-1]
        assert (pages[3]["items"], pages[3]["total"], pages[3]["has_next"]) == ([], 5, False)

        first = (await client.get("/posts", params={"cursor": "", "page_size": 3})).json()
        await a_post(session, customer)  # which shifts pages, but no cursor
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
            ({"search": ""}, "query.search"),
            ({"search": "\0"}, "query.search"),
            ({"page": 0}, "query.page"),
            ({"cursor": "nonsense"}, "query.cursor"),
        ],
        ids=lambda value: str(value)[:30],
    )
    async def test_a_bad_query_is_refused(self, client: AsyncClient, query: dict[str, Any], field: str) -> None:
        assert_refused(await client.get("/posts", params=query), 422, field)

    @pytest.mark.parametrize("size", [1, 20])
    async def test_takes_three_statements_whatever_the_size(
        self, client: AsyncClient, session: AsyncSession, database: Database, size: int
    ) -> None:
        for number in range(size):
            name = f"author_{number}"
            author = User(username=name, email=f"{name}@example.com", hashed_password=PASSWORD_HASH)
            await save(session, author)
            await tag(session, await a_post(session, author), *(await tags(session, f"a-{number}", f"b-{number}")))

        with count_statements(database) as statements:
            response = await client.get("/posts", params={"page_size": 100})
        assert len(response.json()["items"]) == size
        assert len(statements) == 3  # how many, which with their authors, their tags
        with count_statements(database) as statements:
            await client.get("/posts", params={"page_size": 100, "cursor": ""})
        assert len(statements) == 2


class TestReadPost:
    async def test_with_its_text_author_and_tags(
        self, client: AsyncClient, customer: User, session: AsyncSession, database: Database
    ) -> None:
        post = await a_post(session, customer)
        await tag(session, post, *(await tags(session, "vinyl", "audio")))

        with count_statements(database) as statements:
            response = await client.get(f"/posts/{post.id}")

        assert response.json().keys() == LISTED | {"content"}
        assert response.json()["content"] == "We listened."
        assert [each["name"] for each in response.json()["tags"]] == ["Audio", "Vinyl"]
        assert [statement.split()[0] for statement in statements] == ["SELECT", "SELECT", "UPDATE"]

    async def test_by_slug_it_is_the_same(self, client: AsyncClient, customer: User, session: AsyncSession) -> None:
        post = await a_post(session, customer, slug="ten-headphones")

        by_slug, by_id = await client.get("/posts/by-slug/ten-headphones"), await client.get(f"/posts/{post.id}")

        assert {**by_slug.json(), "view_count": 1} == by_id.json()

    async def test_each_reading_of_a_published_one_is_counted_and_changes_nothing_else(
        self, readers: dict[str, AsyncClient], customer: User, session: AsyncSession
    ) -> None:
        post = await a_post(session, customer)
        before = post.updated_at

        for reader in readers.values():
            assert (await reader.get(f"/posts/{post.id}")).status_code == 200
            assert (await reader.get(f"/posts/by-slug/{post.slug}")).status_code == 200
        await readers["nobody"].get("/posts")

        after = await stored(session, post.id)
        assert after.view_count == 8
        assert after.updated_at == before

    async def test_readings_at_once_are_all_counted(
        self, client: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        post = await a_post(session, customer)

        await asyncio.gather(*(client.get(f"/posts/{post.id}") for _ in range(10)))

        assert (await stored(session, post.id)).view_count == 10

    @pytest.mark.parametrize("status", [PostStatus.DRAFT, PostStatus.ARCHIVED])
    async def test_a_reading_of_another_is_not_counted(
        self, readers: dict[str, AsyncClient], customer: User, session: AsyncSession, status: PostStatus
    ) -> None:
        post = await a_post(session, customer, status=status)

        for reader in readers.values():
            await reader.get(f"/posts/{post.id}")

        assert (await stored(session, post.id)).view_count == 0

    @pytest.mark.parametrize("error", [OperationalError("UPDATE", {}, Exception("locked")), PoolTimeout()], ids=repr)
    async def test_is_answered_also_where_it_cannot_be_counted(
        self,
        client: AsyncClient,
        customer: User,
        session: AsyncSession,
        app: FastAPI,
        monkeypatch: pytest.MonkeyPatch,
        error: Exception,
    ) -> None:
        post = await a_post(session, customer)

        def unavailable(**_: Any) -> AsyncSession:
            raise error

        monkeypatch.setattr(app.state.database, "writes", unavailable)

        assert (await client.get(f"/posts/{post.id}")).status_code == 200

    @pytest.mark.parametrize("path", ["/posts/1000000", f"/posts/{MAX_ID}", "/posts/by-slug/no", "/posts/by-slug/É"])
    async def test_one_that_does_not_exist_is_not_found(self, client: AsyncClient, path: str) -> None:
        assert_refused(await client.get(path), 404, "no such post")

    @pytest.mark.parametrize("post_id", NO_IDS, ids=lambda value: value[:25])
    @pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
    async def test_what_cannot_be_an_id_is_refused(self, as_staff: AsyncClient, method: str, post_id: str) -> None:
        assert_refused(await as_staff.request(method, f"/posts/{post_id}", json=NEW), 422, "path.id")

    @pytest.mark.parametrize("slug", ["%00", "x" * 301])
    async def test_what_cannot_be_a_slug_is_refused(self, client: AsyncClient, slug: str) -> None:
        assert_refused(await client.get(f"/posts/by-slug/{slug}"), 422, "path.slug")


class TestCreatePost:
    async def test_slugs_made_from_one_title_at_once_all_differ(
        self, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        same = {"title": "Vinyl", "content": "Black."}
        responses = await asyncio.gather(*(as_customer.post("/posts", json=same) for _ in range(5)))

        assert [response.status_code for response in responses] == [201] * 5
        assert len({response.json()["slug"] for response in responses}) == 5

    async def test_customers_write_a_draft(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        response = await as_customer.post("/posts", json=NEW)

        assert response.status_code == 201
        post = await stored(session, response.json()["id"])
        assert (post.title, post.content, post.author_id) == (NEW["title"], NEW["content"], customer.id)
        assert (post.slug, post.status) == ("ten-headphones-compared", PostStatus.DRAFT)
        assert (post.view_count, post.published_at) == (0, None)
        assert response.json()["author"] == {"id": customer.id, "username": "customer"}
        assert (await as_customer.get(f"/posts/{post.id}")).json() == response.json()

    async def test_or_publish_at_once(self, as_customer: AsyncClient, session: AsyncSession) -> None:
        before = utcnow()

        response = await as_customer.post("/posts", json={**NEW, "status": "published"})

        post = await stored(session, response.json()["id"])
        assert post.published_at is not None
        assert before <= post.published_at <= utcnow()

    async def test_with_tags_each_once(self, as_customer: AsyncClient, session: AsyncSession) -> None:
        await tags(session, "vinyl", "audio", "tape")

        response = await as_customer.post("/posts", json={**NEW, "tags": ["vinyl", "audio", "vinyl"]})

        assert [each["slug"] for each in response.json()["tags"]] == ["audio", "vinyl"]
        assert await tags_stored(session, response.json()["id"]) == ["audio", "vinyl"]

    async def test_an_unknown_tag_is_refused(self, as_customer: AsyncClient, session: AsyncSession) -> None:
        await tags(session, "vinyl")

        response = await as_customer.post("/posts", json={**NEW, "tags": ["vinyl", "vynil"]})

        assert_refused(response, 422, "body.tags: there is no tag vynil")
        assert await how_many(session) == 0

    async def test_nobody_writes(self, client: AsyncClient, session: AsyncSession) -> None:
        assert_refused(await client.post("/posts", json=NEW), 401)
        assert await how_many(session) == 0

    @pytest.mark.parametrize(("title", "slug"), [("L'été", "l-ete"), ("!!!", "post"), ("x" * 200, "x" * 100)])
    async def test_the_slug_is_made_from_the_title(self, as_customer: AsyncClient, title: str, slug: str) -> None:
        assert (await as_customer.post("/posts", json={**NEW, "title": title})).json()["slug"] == slug

    async def test_a_made_slug_that_is_taken_gets_digits_behind_it(self, as_customer: AsyncClient) -> None:
        slugs = [(await as_customer.post("/posts", json=NEW)).json()["slug"] for _ in range(3)]

        assert slugs[0] == "ten-headphones-compared"
        assert all(slug.startswith(f"{slugs[0]}-") for slug in slugs[1:])
        assert len(set(slugs)) == 3

    async def test_a_given_slug_that_is_taken_is_refused(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await a_post(session, customer, slug="ten")

        assert_refused(await as_customer.post("/posts", json={**NEW, "slug": "ten"}), 409, "slug is already taken")
        assert await how_many(session) == 1

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"title": None}, "body.title"),
            ({"title": " "}, "body.title"),
            ({"title": "x" * 201}, "body.title"),
            ({"title": 7}, "body.title"),
            ({"title": "a\0b"}, "body.title"),
            ({"content": None}, "body.content"),
            ({"content": ""}, "body.content"),
            ({"content": "x" * 50_001}, "body.content"),
            ({"content": "\0"}, "body.content"),
            ({"slug": "Not A Slug"}, "body.slug"),
            ({"slug": "x" * 121}, "body.slug"),
            ({"status": None}, "body.status"),
            ({"status": "lost"}, "body.status"),
            ({"tags": None}, "body.tags"),
            ({"tags": "vinyl"}, "body.tags"),
            ({"tags": ["Not A Slug"]}, "body.tags.0"),
            ({"tags": ["vinyl"] * 21}, "body.tags"),
            ({"author_id": 1}, "body.author_id"),
            ({"view_count": 1_000}, "body.view_count"),
            ({"published_at": "2020-01-01T00:00:00Z"}, "body.published_at"),
            ({"colour": "red"}, "body.colour"),
        ],
        ids=lambda value: str(value)[:30],
    )
    async def test_bad_input_is_refused(
        self, as_customer: AsyncClient, session: AsyncSession, changes: dict[str, Any], field: str
    ) -> None:
        response = await as_customer.post("/posts", json={**NEW, **changes})

        assert_refused(response, 422, field)
        assert [error["field"] for error in response.json()["errors"]] == [field]
        assert await how_many(session) == 0

    @pytest.mark.parametrize(
        "body", [b"", b"[]", b"{", b'{"title": "\\ud800", "content": "x"}', b'{"title": "x", "content": "\\udfff"}']
    )
    async def test_a_body_that_is_no_post_is_refused(
        self, as_customer: AsyncClient, session: AsyncSession, body: bytes
    ) -> None:
        response = await as_customer.post("/posts", content=body, headers={"Content-Type": "application/json"})

        assert_refused(response, 422, "body")
        assert await how_many(session) == 0

    async def test_the_longest_text_is_stored(self, as_customer: AsyncClient, session: AsyncSession) -> None:
        longest = {"title": "🎧" * 200, "content": "🎧" * 50_000, "slug": "x" * 120}

        post = await stored(session, (await as_customer.post("/posts", json=longest)).json()["id"])

        assert {"title": post.title, "content": post.content, "slug": post.slug} == longest


class TestReplacePost:
    async def test_what_is_absent_is_cleared_and_the_slug_is_kept(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        post = await a_post(session, customer, slug="ten")
        await tag(session, post, *(await tags(session, "vinyl")))
        before = post.updated_at

        response = await as_customer.put(f"/posts/{post.id}", json={"title": "Twelve", "content": "Two more."})

        assert response.status_code == 200
        after = await stored(session, post.id)
        assert (after.title, after.content, after.slug) == ("Twelve", "Two more.", "ten")
        assert (after.status, after.author_id) == (PostStatus.DRAFT, customer.id)
        assert response.json()["tags"] == await tags_stored(session, post.id) == []
        assert after.updated_at > before

    async def test_bad_input_is_refused(self, as_customer: AsyncClient, customer: User, session: AsyncSession) -> None:
        post = await a_post(session, customer, slug="ten")
        await a_post(session, customer, slug="taken")

        for body, status in (
            ({"title": "Twelve"}, 422),
            ({**NEW, "author_id": 1}, 422),
            ({**NEW, "tags": ["nothing"]}, 422),
            ({**NEW, "slug": "taken"}, 409),
        ):
            assert_refused(await as_customer.put(f"/posts/{post.id}", json=body), status)
        assert (await stored(session, post.id)).title == "Ten headphones"


class TestUpdatePost:
    async def test_changes_only_what_is_sent(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        post = await a_post(session, customer, slug="ten")
        await tag(session, post, *(await tags(session, "vinyl")))

        response = await as_customer.patch(f"/posts/{post.id}", json={"title": "Twelve"})

        assert response.status_code == 200
        after = await stored(session, post.id)
        assert (after.title, after.content, after.slug) == ("Twelve", "We listened.", "ten")
        assert after.status is PostStatus.PUBLISHED
        assert await tags_stored(session, post.id) == ["vinyl"]
        assert [each["slug"] for each in response.json()["tags"]] == ["vinyl"]

    @pytest.mark.parametrize("new", [[], ["tape"], ["audio", "vinyl"], ["audio", "tape", "vinyl"]])
    async def test_tags_are_replaced(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, new: list[str]
    ) -> None:
        vinyl, audio, _ = await tags(session, "vinyl", "audio", "tape")
        post, other = await a_post(session, customer), await a_post(session, customer)
        await tag(session, post, vinyl, audio)
        await tag(session, other, vinyl)

        response = await as_customer.patch(f"/posts/{post.id}", json={"tags": new})

        assert [each["slug"] for each in response.json()["tags"]] == new
        assert await tags_stored(session, post.id) == new
        assert await tags_stored(session, other.id) == ["vinyl"]

    async def test_an_unknown_tag_is_refused_and_nothing_changes(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        post = await a_post(session, customer)
        await tag(session, post, *(await tags(session, "vinyl")))

        response = await as_customer.patch(f"/posts/{post.id}", json={"title": "Twelve", "tags": ["vynil"]})

        assert_refused(response, 422, "there is no tag vynil")
        assert (await stored(session, post.id)).title == "Ten headphones"
        assert await tags_stored(session, post.id) == ["vinyl"]

    async def test_when_it_was_first_published_is_kept(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        post = await a_post(session, customer, status=PostStatus.DRAFT)
        published = []
        for status in ("published", "archived", "draft", "published"):
            body = (await as_customer.patch(f"/posts/{post.id}", json={"status": status})).json()
            assert body["status"] == status
            published.append(body["published_at"])

        assert published[0] is not None
        assert len(set(published)) == 1

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"title": None}, "body.title"),
            ({"title": ""}, "body.title"),
            ({"slug": None}, "body.slug"),
            ({"content": None}, "body.content"),
            ({"content": "x" * 50_001}, "body.content"),
            ({"status": None}, "body.status"),
            ({"tags": None}, "body.tags"),
            ({"author_id": 1}, "body.author_id"),
            ({"view_count": 0}, "body.view_count"),
        ],
        ids=lambda value: str(value)[:30],
    )
    async def test_bad_input_is_refused(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, changes: dict[str, Any], field: str
    ) -> None:
        post = await a_post(session, customer)
        before = post.updated_at

        assert_refused(await as_customer.patch(f"/posts/{post.id}", json=changes), 422, field)
        assert (await stored(session, post.id)).updated_at == before

    async def test_a_slug_that_is_taken_is_refused(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        post = await a_post(session, customer)
        await a_post(session, customer, slug="taken")

        assert_refused(await as_customer.patch(f"/posts/{post.id}", json={"slug": "taken"}), 409, "slug")

    async def test_of_two_who_replace_the_tags_at_once_the_last_one_stays(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await tags(session, "vinyl", "audio", "tape")
        choices = [["audio", "vinyl"], ["audio", "tape"]]
        for _ in range(8):
            post = await a_post(session, customer)
            responses = await asyncio.gather(
                *(as_customer.patch(f"/posts/{post.id}", json={"tags": choice}) for choice in choices)
            )
            assert [response.status_code for response in responses] == [200, 200]
            assert await tags_stored(session, post.id) in choices

    async def test_while_its_tag_is_deleted(
        self, as_customer: AsyncClient, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        for number in range(8):
            (gone,) = await tags(session, f"tag-{number}")
            post = await a_post(session, customer)
            changed, deleted = await asyncio.gather(
                as_customer.patch(f"/posts/{post.id}", json={"tags": [gone.slug]}),
                as_staff.delete(f"/tags/{gone.id}"),
            )
            assert changed.status_code in {200, 409, 422}
            assert deleted.status_code == 204
            assert await tags_stored(session, post.id) == []

    async def test_while_it_is_deleted(self, as_staff: AsyncClient, customer: User, session: AsyncSession) -> None:
        for _ in range(8):
            post = await a_post(session, customer)
            deleted, changed = await asyncio.gather(
                as_staff.delete(f"/posts/{post.id}"), as_staff.patch(f"/posts/{post.id}", json={"title": "New"})
            )
            assert deleted.status_code == 204
            assert changed.status_code in {200, 404}
        assert await how_many(session) == 0


class TestDeletePost:
    async def test_its_tags_stay(self, as_customer: AsyncClient, customer: User, session: AsyncSession) -> None:
        post = await a_post(session, customer)
        await tag(session, post, *(await tags(session, "vinyl")))

        response = await as_customer.delete(f"/posts/{post.id}")

        assert (response.status_code, response.content) == (204, b"")
        assert await session.get(Post, post.id) is None
        assert (await session.exec(select(PostTag.post_id))).all() == []
        assert (await session.exec(select(Tag.slug))).all() == ["vinyl"]
        assert_refused(await as_customer.delete(f"/posts/{post.id}"), 404)

    async def test_of_two_at_once_one_finds_it_gone(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        for _ in range(5):
            post = await a_post(session, customer)
            responses = await asyncio.gather(*(as_customer.delete(f"/posts/{post.id}") for _ in range(2)))
            assert sorted(response.status_code for response in responses) == [204, 404]


@pytest.mark.parametrize("status", PostStatus)
@pytest.mark.parametrize(
    ("method", "body"), [("PUT", {**NEW, "status": "published"}), ("PATCH", {"title": "Hacked"}), ("DELETE", None)]
)
class TestWhoWritesWhat:
    async def test_not_nobody_and_nobody_else(
        self,
        readers: dict[str, AsyncClient],
        customer: User,
        session: AsyncSession,
        status: PostStatus,
        method: str,
        body: Any,
    ) -> None:
        post = await a_post(session, customer, status=status)
        before = post.updated_at

        assert_refused(await readers["nobody"].request(method, f"/posts/{post.id}", json=body), 401)
        theirs = await readers["other"].request(method, f"/posts/{post.id}", json=body)
        assert_refused(theirs, 404)
        assert theirs.content == (await readers["other"].request(method, "/posts/1000000", json=body)).content
        after = await stored(session, post.id)
        assert (after.title, after.status, after.updated_at) == ("Ten headphones", status, before)

    @pytest.mark.parametrize("who", ["author", "staff"])
    async def test_the_author_and_staff(
        self,
        readers: dict[str, AsyncClient],
        customer: User,
        session: AsyncSession,
        status: PostStatus,
        method: str,
        body: Any,
        who: str,
    ) -> None:
        post = await a_post(session, customer, status=status)

        assert (await readers[who].request(method, f"/posts/{post.id}", json=body)).is_success
        after = await session.get(Post, post.id)
        if method == "DELETE":
            assert after is None
        else:
            assert after is not None
            assert (after.title, after.author_id) == (body["title"], customer.id)


async def test_what_a_deactivated_author_published_stays(
    connect: Connect, client: AsyncClient, customer: User, session: AsyncSession
) -> None:
    post = await a_post(session, customer)
    await session.exec(update(User).values(is_active=False))

    assert (await client.get(f"/posts/{post.id}")).json()["author"]["username"] == "customer"
