"""Only the author and staff can change or delete a post."""

from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.post import Post, PostStatus
from api.models.user import User
from tests.factories import a_post
from tests.routes.posts.support import POST_BODY, stored_post
from tests.support import assert_refused, said


@pytest.mark.parametrize("status", PostStatus)
@pytest.mark.parametrize(
    ("method", "body"),
    [("PUT", {**POST_BODY, "status": "published"}), ("PATCH", {"title": "Hacked"}), ("DELETE", None)],
)
class TestChangePermission:
    async def test_a_post_cannot_be_changed_or_deleted_by_other_customers_or_anonymous_clients(
        self,
        clients: dict[str, AsyncClient],
        customer: User,
        session: AsyncSession,
        status: PostStatus,
        method: str,
        body: Any,
    ) -> None:
        post = await a_post(session, customer, status=status)
        before = post.updated_at

        assert_refused(await clients["nobody"].request(method, f"/posts/{post.id}", json=body), 401)
        theirs = await clients["other"].request(method, f"/posts/{post.id}", json=body)
        assert_refused(theirs, 404)
        assert said(theirs) == said(await clients["other"].request(method, "/posts/1000000", json=body))
        after = await stored_post(session, post.id)
        assert (after.title, after.status, after.updated_at) == ("Ten headphones", status, before)

    @pytest.mark.parametrize("caller", ["author", "staff"])
    async def test_a_post_can_be_changed_and_deleted_by_its_author_and_by_staff(
        self,
        clients: dict[str, AsyncClient],
        customer: User,
        session: AsyncSession,
        status: PostStatus,
        method: str,
        body: Any,
        caller: str,
    ) -> None:
        post = await a_post(session, customer, status=status)

        assert (await clients[caller].request(method, f"/posts/{post.id}", json=body)).is_success
        after = await session.get(Post, post.id)
        if method == "DELETE":
            assert after is None
        else:
            assert after is not None
            assert (after.title, after.author_id) == (body["title"], customer.id)
