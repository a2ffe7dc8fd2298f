"""POST /posts: writing a post."""

import asyncio
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.base import utcnow
from api.models.post import PostStatus
from api.models.user import User
from tests.factories import a_post
from tests.routes.posts.support import POST_BODY, count_posts, some_tags, stored_post, stored_tags
from tests.support import assert_refused


class TestCreatePost:
    async def test_a_customer_can_write_a_draft(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        response = await as_customer.post("/posts", json=POST_BODY)

        assert response.status_code == 201
        post = await stored_post(session, response.json()["id"])
        assert (post.title, post.content, post.author_id) == (POST_BODY["title"], POST_BODY["content"], customer.id)
        assert (post.slug, post.status) == ("ten-headphones-compared", PostStatus.DRAFT)
        assert (post.view_count, post.published_at) == (0, None)
        assert response.json()["author"] == {"id": customer.id, "username": "customer"}
        assert (await as_customer.get(f"/posts/{post.id}")).json() == response.json()

    async def test_a_customer_can_publish_a_new_post_at_once(
        self, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        before = utcnow()

        response = await as_customer.post("/posts", json={**POST_BODY, "status": "published"})

        post = await stored_post(session, response.json()["id"])
        assert post.published_at is not None
        assert before <= post.published_at <= utcnow()

    async def test_a_tag_that_is_sent_twice_is_stored_once(
        self, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        await some_tags(session, "vinyl", "audio", "tape")

        response = await as_customer.post("/posts", json={**POST_BODY, "tags": ["vinyl", "audio", "vinyl"]})

        assert [each["slug"] for each in response.json()["tags"]] == ["audio", "vinyl"]
        assert await stored_tags(session, response.json()["id"]) == ["audio", "vinyl"]

    async def test_an_unknown_tag_is_refused(self, as_customer: AsyncClient, session: AsyncSession) -> None:
        await some_tags(session, "vinyl")

        response = await as_customer.post("/posts", json={**POST_BODY, "tags": ["vinyl", "vynil"]})

        assert_refused(response, 422, "body.tags: the tag vynil does not exist")
        assert await count_posts(session) == 0

    async def test_an_anonymous_client_cannot_write_a_post(self, client: AsyncClient, session: AsyncSession) -> None:
        assert_refused(await client.post("/posts", json=POST_BODY), 401)
        assert await count_posts(session) == 0

    @pytest.mark.parametrize(("title", "slug"), [("L'été", "l-ete"), ("!!!", "post"), ("x" * 200, "x" * 100)])
    async def test_an_absent_slug_is_generated_from_the_title(
        self, as_customer: AsyncClient, title: str, slug: str
    ) -> None:
        assert (await as_customer.post("/posts", json={**POST_BODY, "title": title})).json()["slug"] == slug

    async def test_a_generated_slug_that_is_in_use_gets_a_suffix(self, as_customer: AsyncClient) -> None:
        slugs = [(await as_customer.post("/posts", json=POST_BODY)).json()["slug"] for _ in range(3)]

        assert slugs[0] == "ten-headphones-compared"
        assert all(slug.startswith(f"{slugs[0]}-") for slug in slugs[1:])
        assert len(set(slugs)) == 3

    async def test_simultaneous_posts_with_the_same_title_get_different_slugs(
        self, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        same = {"title": "Vinyl", "content": "Black."}
        responses = await asyncio.gather(*(as_customer.post("/posts", json=same) for _ in range(5)))

        assert [response.status_code for response in responses] == [201] * 5
        assert len({response.json()["slug"] for response in responses}) == 5

    async def test_a_slug_that_is_in_use_is_refused(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await a_post(session, customer, slug="ten")

        assert_refused(
            await as_customer.post("/posts", json={**POST_BODY, "slug": "ten"}),
            409,
            "A post with this slug already exists.",
        )
        assert await count_posts(session) == 1

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
    async def test_an_invalid_field_is_refused(
        self, as_customer: AsyncClient, session: AsyncSession, changes: dict[str, Any], field: str
    ) -> None:
        response = await as_customer.post("/posts", json={**POST_BODY, **changes})

        assert_refused(response, 422, field)
        assert [error["field"] for error in response.json()["errors"]] == [field]
        assert await count_posts(session) == 0

    @pytest.mark.parametrize(
        "body", [b"", b"[]", b"{", b'{"title": "\\ud800", "content": "x"}', b'{"title": "x", "content": "\\udfff"}']
    )
    async def test_a_malformed_body_is_refused(
        self, as_customer: AsyncClient, session: AsyncSession, body: bytes
    ) -> None:
        response = await as_customer.post("/posts", content=body, headers={"Content-Type": "application/json"})

        assert_refused(response, 422, "body")
        assert await count_posts(session) == 0

    async def test_the_longest_values_are_stored_unchanged(
        self, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        longest = {"title": "🎧" * 200, "content": "🎧" * 50_000, "slug": "x" * 120}

        post = await stored_post(session, (await as_customer.post("/posts", json=longest)).json()["id"])

        assert {"title": post.title, "content": post.content, "slug": post.slug} == longest
