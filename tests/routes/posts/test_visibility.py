"""Everybody reads published posts; only their author and staff read drafts and archived posts."""

import pytest
from httpx import AsyncClient
from sqlmodel import update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.post import PostStatus
from api.models.user import User
from tests.factories import a_post
from tests.routes.posts.support import titles
from tests.support import said

CALLERS = {"nobody", "author", "other", "staff"}
READERS = {
    PostStatus.DRAFT: {"author", "staff"},
    PostStatus.PUBLISHED: CALLERS,
    PostStatus.ARCHIVED: {"author", "staff"},
}
"""The callers who may read a post in each status."""


@pytest.mark.parametrize("status", PostStatus)
@pytest.mark.parametrize("caller", sorted(CALLERS))
class TestPostVisibility:
    async def test_only_a_permitted_caller_finds_a_post_by_its_id_and_slug(
        self, clients: dict[str, AsyncClient], customer: User, session: AsyncSession, status: PostStatus, caller: str
    ) -> None:
        post = await a_post(session, customer, status=status)
        permitted = caller in READERS[status]

        for path in (f"/posts/{post.id}", f"/posts/by-slug/{post.slug}"):
            response = await clients[caller].get(path)
            assert response.status_code == (200 if permitted else 404)
            assert ("We listened." in response.text) == permitted
        missing = await clients[caller].get("/posts/1000000")
        assert permitted or said(await clients[caller].get(f"/posts/{post.id}")) == said(missing)

    async def test_only_a_permitted_caller_finds_a_post_in_lists(
        self, clients: dict[str, AsyncClient], customer: User, session: AsyncSession, status: PostStatus, caller: str
    ) -> None:
        await a_post(session, customer, "Amplifier", status=status)
        expected = ["Amplifier"] if caller in READERS[status] else []

        for query in ({}, {"status": status.value}, {"author_id": customer.id}, {"search": "amp"}):
            response = await clients[caller].get("/posts", params=query)
            assert titles(response) == expected
            assert response.json()["total"] == len(expected)
        assert titles(await clients[caller].get("/posts", params={"cursor": ""})) == expected


async def test_a_published_post_of_a_deactivated_author_stays_visible(
    client: AsyncClient, customer: User, session: AsyncSession
) -> None:
    post = await a_post(session, customer)
    await session.exec(update(User).values(is_active=False))

    assert (await client.get(f"/posts/{post.id}")).json()["author"]["username"] == "customer"
