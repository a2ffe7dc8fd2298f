"""PUT and PATCH /posts/{id}: changing a post and its tags."""

import asyncio
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.post import PostStatus
from api.models.user import User
from tests.factories import a_post
from tests.routes.posts.support import POST_BODY, count_posts, some_tags, stored_post, stored_tags
from tests.support import assert_refused


class TestReplacePost:
    async def test_absent_fields_are_cleared_except_the_slug(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        post = await a_post(session, customer, slug="ten", tags=await some_tags(session, "vinyl"))
        before = post.updated_at

        response = await as_customer.put(f"/posts/{post.id}", json={"title": "Twelve", "content": "Two more."})

        assert response.status_code == 200
        after = await stored_post(session, post.id)
        assert (after.title, after.content, after.slug) == ("Twelve", "Two more.", "ten")
        assert (after.status, after.author_id) == (PostStatus.DRAFT, customer.id)
        assert response.json()["tags"] == await stored_tags(session, post.id) == []
        assert after.updated_at > before

    async def test_an_invalid_body_is_refused_and_nothing_changes(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        post = await a_post(session, customer, slug="ten")
        await a_post(session, customer, slug="taken")

        for body, status in (
            ({"title": "Twelve"}, 422),
            ({**POST_BODY, "author_id": 1}, 422),
            ({**POST_BODY, "tags": ["nothing"]}, 422),
            ({**POST_BODY, "slug": "taken"}, 409),
        ):
            assert_refused(await as_customer.put(f"/posts/{post.id}", json=body), status)
        assert (await stored_post(session, post.id)).title == "Ten headphones"


class TestUpdatePost:
    async def test_only_the_fields_that_are_sent_change(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        post = await a_post(session, customer, slug="ten", tags=await some_tags(session, "vinyl"))

        response = await as_customer.patch(f"/posts/{post.id}", json={"title": "Twelve"})

        assert response.status_code == 200
        after = await stored_post(session, post.id)
        assert (after.title, after.content, after.slug) == ("Twelve", "We listened.", "ten")
        assert after.status is PostStatus.PUBLISHED
        assert await stored_tags(session, post.id) == ["vinyl"]
        assert [each["slug"] for each in response.json()["tags"]] == ["vinyl"]

    @pytest.mark.parametrize("new", [[], ["tape"], ["audio", "vinyl"], ["audio", "tape", "vinyl"]])
    async def test_the_tags_that_are_sent_replace_all_tags(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, new: list[str]
    ) -> None:
        vinyl, audio, _ = await some_tags(session, "vinyl", "audio", "tape")
        post = await a_post(session, customer, tags=[vinyl, audio])
        other = await a_post(session, customer, tags=[vinyl])

        response = await as_customer.patch(f"/posts/{post.id}", json={"tags": new})

        assert [each["slug"] for each in response.json()["tags"]] == new
        assert await stored_tags(session, post.id) == new
        assert await stored_tags(session, other.id) == ["vinyl"]

    async def test_an_unknown_tag_is_refused_and_nothing_changes(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        post = await a_post(session, customer, tags=await some_tags(session, "vinyl"))

        response = await as_customer.patch(f"/posts/{post.id}", json={"title": "Twelve", "tags": ["vynil"]})

        assert_refused(response, 422, "the tag vynil does not exist")
        assert (await stored_post(session, post.id)).title == "Ten headphones"
        assert await stored_tags(session, post.id) == ["vinyl"]

    async def test_the_time_of_the_first_publication_is_kept(
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
    async def test_an_invalid_field_is_refused_and_nothing_changes(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, changes: dict[str, Any], field: str
    ) -> None:
        post = await a_post(session, customer)
        before = post.updated_at

        assert_refused(await as_customer.patch(f"/posts/{post.id}", json=changes), 422, field)
        assert (await stored_post(session, post.id)).updated_at == before

    async def test_a_slug_that_is_in_use_is_refused(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        post = await a_post(session, customer)
        await a_post(session, customer, slug="taken")

        assert_refused(
            await as_customer.patch(f"/posts/{post.id}", json={"slug": "taken"}),
            409,
            "A post with this slug already exists.",
        )

    async def test_simultaneous_replacements_of_the_tags_do_not_mix(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await some_tags(session, "vinyl", "audio", "tape")
        choices = [["audio", "vinyl"], ["audio", "tape"]]
        for _ in range(8):
            post = await a_post(session, customer)
            responses = await asyncio.gather(
                *(as_customer.patch(f"/posts/{post.id}", json={"tags": choice}) for choice in choices)
            )
            assert [response.status_code for response in responses] == [200, 200]
            assert await stored_tags(session, post.id) in choices

    async def test_a_tag_can_be_deleted_while_a_post_gets_it(
        self, as_customer: AsyncClient, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        for number in range(8):
            (gone,) = await some_tags(session, f"tag-{number}")
            post = await a_post(session, customer)
            changed, deleted = await asyncio.gather(
                as_customer.patch(f"/posts/{post.id}", json={"tags": [gone.slug]}),
                as_staff.delete(f"/tags/{gone.id}"),
            )
            assert changed.status_code in {200, 409, 422}
            assert deleted.status_code == 204
            assert await stored_tags(session, post.id) == []

    async def test_a_post_can_be_deleted_while_it_is_updated(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        for _ in range(8):
            post = await a_post(session, customer)
            deleted, changed = await asyncio.gather(
                as_staff.delete(f"/posts/{post.id}"), as_staff.patch(f"/posts/{post.id}", json={"title": "New"})
            )
            assert deleted.status_code == 204
            assert changed.status_code in {200, 404}
        assert await count_posts(session) == 0
