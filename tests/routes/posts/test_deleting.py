"""DELETE /posts/{id}: deleting a post."""

import asyncio

from httpx import AsyncClient
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.post import Post
from api.models.tag import PostTag, Tag
from api.models.user import User
from tests.factories import a_post
from tests.routes.posts.support import some_tags
from tests.support import assert_refused


class TestDeletePost:
    async def test_the_tags_of_a_deleted_post_stay(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        post = await a_post(session, customer, tags=await some_tags(session, "vinyl"))

        response = await as_customer.delete(f"/posts/{post.id}")

        assert (response.status_code, response.content) == (204, b"")
        assert await session.get(Post, post.id) is None
        assert (await session.exec(select(PostTag.post_id))).all() == []
        assert (await session.exec(select(Tag.slug))).all() == ["vinyl"]
        assert_refused(await as_customer.delete(f"/posts/{post.id}"), 404)

    async def test_one_of_two_simultaneous_deletions_is_not_found(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        for _ in range(5):
            post = await a_post(session, customer)
            responses = await asyncio.gather(*(as_customer.delete(f"/posts/{post.id}") for _ in range(2)))
            assert sorted(response.status_code for response in responses) == [204, 404]
