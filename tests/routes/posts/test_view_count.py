"""The view count of a post: every view of a published post is counted."""

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.post import PostStatus
from api.models.user import User
from tests.factories import a_post
from tests.routes.posts.support import stored_post


class TestViewCount:
    async def test_each_view_of_a_published_post_is_counted_and_changes_nothing_else(
        self, clients: dict[str, AsyncClient], customer: User, session: AsyncSession
    ) -> None:
        post = await a_post(session, customer)
        before = post.updated_at

        for reader in clients.values():
            assert (await reader.get(f"/posts/{post.id}")).status_code == 200
            assert (await reader.get(f"/posts/by-slug/{post.slug}")).status_code == 200
        await clients["nobody"].get("/posts")

        after = await stored_post(session, post.id)
        assert after.view_count == 8
        assert after.updated_at == before

    async def test_simultaneous_views_are_all_counted(
        self, client: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        post = await a_post(session, customer)

        await asyncio.gather(*(client.get(f"/posts/{post.id}") for _ in range(10)))

        assert (await stored_post(session, post.id)).view_count == 10

    async def test_a_view_changes_no_etag_and_one_that_is_answered_with_304_is_counted(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        """Each view would otherwise have whoever reads the post again read all of it again."""
        words = 'He said "view_count": 5, and left.'
        post = await a_post(session, customer, content=words)
        for path in (f"/posts/{post.id}", f"/posts/by-slug/{post.slug}"):
            first = await as_customer.get(path)
            again = await as_customer.get(path, headers={"If-None-Match": first.headers["ETag"]})
            assert (again.status_code, again.content) == (304, b"")
        assert (await stored_post(session, post.id)).view_count == 4

        changed = words.replace("5", "6")
        await as_customer.patch(f"/posts/{post.id}", json={"content": changed})
        read = await as_customer.get(path, headers={"If-None-Match": first.headers["ETag"]})
        assert (read.status_code, read.json()["content"]) == (200, changed)

    async def test_a_head_request_is_no_view(self, client: AsyncClient, customer: User, session: AsyncSession) -> None:
        post = await a_post(session, customer)

        for path in (f"/posts/{post.id}", f"/posts/by-slug/{post.slug}", f"/posts/{post.id}/"):
            answer = await client.head(path)
            assert (answer.status_code, answer.content) == (200, b"")

        assert (await stored_post(session, post.id)).view_count == 0

    async def test_a_prefetch_is_no_view(self, client: AsyncClient, customer: User, session: AsyncSession) -> None:
        """A browser asks ahead for what its user may never open."""
        post = await a_post(session, customer)

        for purpose in ("prefetch", "prefetch;prerender"):
            assert (await client.get(f"/posts/{post.id}", headers={"Sec-Purpose": purpose})).json()["id"] == post.id

        assert (await stored_post(session, post.id)).view_count == 0

    @pytest.mark.parametrize("status", [PostStatus.DRAFT, PostStatus.ARCHIVED])
    async def test_a_view_of_an_unpublished_post_is_not_counted(
        self, clients: dict[str, AsyncClient], customer: User, session: AsyncSession, status: PostStatus
    ) -> None:
        post = await a_post(session, customer, status=status)

        for reader in clients.values():
            await reader.get(f"/posts/{post.id}")

        assert (await stored_post(session, post.id)).view_count == 0

    @pytest.mark.parametrize(
        "error",
        [OperationalError("UPDATE", {}, Exception("locked")), PoolTimeout()],
        ids=["row locked", "no free connection"],
    )
    async def test_a_post_is_answered_when_its_view_cannot_be_counted(
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
