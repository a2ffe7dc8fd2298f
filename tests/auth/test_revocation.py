"""A revoked token is refused at once: by every worker, and in requests that are in progress."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import httpx
import pytest
from httpx import AsyncClient
from sqlmodel import col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.base import utcnow
from api.models.order import Order
from api.models.order_event import OrderEvent
from api.models.token import Token, TokenKind
from api.models.user import User
from api.rules import erasure, user_access
from api.settings import Settings
from tests.apps import running
from tests.auth.support import NEW_PASSWORD, bearer, tokens_of
from tests.factories import a_token, a_user, an_order
from tests.support import PASSWORD, PASSWORD_HASH, CheckedTransport, Contract, assert_refused


@pytest.fixture
async def other_worker(database: Database, settings: Settings, contract: Contract) -> AsyncIterator[AsyncClient]:
    """A client of another worker: another app, with its own connections to the same database."""
    async with (
        running(settings) as app,
        AsyncClient(transport=CheckedTransport(app, contract), base_url="http://test.example") as client,
    ):
        yield client


@dataclass
class Holder:
    """A customer with one token of each kind."""

    user: User
    secrets: dict[TokenKind, str]

    def headers(self, kind: TokenKind = TokenKind.SESSION) -> dict[str, str]:
        return bearer(self.secrets[kind])


@pytest.fixture
async def holder(session: AsyncSession) -> Holder:
    user = await a_user(session, created_at=utcnow() - timedelta(days=400))
    return Holder(user, {kind: (await a_token(session, user, kind))[0] for kind in TokenKind})


Ending = Callable[[AsyncClient, Holder], Awaitable[httpx.Response]]

ENDINGS: dict[str, Ending] = {
    "PATCH users": lambda staff, holder: staff.patch(f"/users/{holder.user.id}", json={"is_active": False}),
    "DELETE soft by staff": lambda staff, holder: staff.delete(f"/users/{holder.user.id}/soft"),
    "DELETE soft by the user": lambda staff, holder: staff.delete(
        f"/users/{holder.user.id}/soft", headers=holder.headers()
    ),
    "PATCH bulk deactivate": lambda staff, holder: staff.patch("/users/bulk/deactivate?days=30"),
    "DELETE users": lambda staff, holder: staff.delete(f"/users/{holder.user.id}"),
}
"""The requests after which a user has no token any more."""


async def _deactivate(session: AsyncSession, user: User) -> None:
    await user_access.lock(session, user)
    await user_access.deactivate(session, user)


async def _let_a_year_pass(session: AsyncSession) -> None:
    """Have all that users did happen a year ago, so that they are idle."""
    a_year_ago = utcnow() - timedelta(days=365)
    await session.exec(update(Token).values(created_at=a_year_ago, last_used_at=a_year_ago))
    for model in (Order, OrderEvent):
        await session.exec(update(model).values(created_at=a_year_ago))


async def _deactivate_idle(session: AsyncSession, user: User) -> None:
    await _let_a_year_pass(session)
    await user_access.deactivate_idle(session, utcnow() - timedelta(days=30))


async def _erase(session: AsyncSession, user: User) -> None:
    await user_access.lock(session, user)
    await erasure.erase(session, user)


async def _change_password(session: AsyncSession, user: User) -> None:
    await session.exec(update(User).where(col(User.id) == user.id).values(hashed_password=PASSWORD_HASH[:-1]))
    await session.exec(delete(Token).where(col(Token.user_id) == user.id, col(Token.kind) == TokenKind.SESSION))


REVOKING = {
    "deactivate": _deactivate,
    "deactivate idle": _deactivate_idle,
    "erase": _erase,
    "change password": _change_password,
}
"""What the app does in the transaction of each request that revokes tokens."""


class TestOtherWorker:
    @pytest.mark.parametrize("with_books", [False, True], ids=["without books", "with books"])
    @pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
    async def test_tokens_of_a_removed_user_are_refused_even_after_an_activation(
        self,
        as_staff: AsyncClient,
        other_worker: AsyncClient,
        holder: Holder,
        session: AsyncSession,
        ending: Ending,
        with_books: bool,
    ) -> None:
        if with_books:
            await an_order(session, holder.user)
        for kind in TokenKind:
            assert (await other_worker.get("/users/me", headers=holder.headers(kind))).status_code == 200
        await _let_a_year_pass(session)

        assert (await ending(as_staff, holder)).is_success

        for kind in TokenKind:
            assert_refused(await other_worker.get("/users/me", headers=holder.headers(kind)), 401)
        assert await tokens_of(session, holder.user) == []
        await session.exec(update(User).where(col(User.id) == holder.user.id).values(is_active=True))
        for kind in TokenKind:
            assert_refused(await other_worker.get("/users/me", headers=holder.headers(kind)), 401)

    async def test_erasing_inactive_users_deletes_all_their_tokens(
        self, as_staff: AsyncClient, other_worker: AsyncClient, holder: Holder, session: AsyncSession
    ) -> None:
        await session.exec(update(User).where(col(User.id) == holder.user.id).values(is_active=False))
        await an_order(session, holder.user)

        assert (await as_staff.delete("/users/bulk/inactive")).json() == {"changed": 1}

        assert await tokens_of(session, holder.user) == []
        for kind in TokenKind:
            assert_refused(await other_worker.get("/users/me", headers=holder.headers(kind)), 401)

    async def test_a_password_change_revokes_the_other_sessions(
        self, client: AsyncClient, other_worker: AsyncClient, holder: Holder, session: AsyncSession
    ) -> None:
        secret, _ = await a_token(session, holder.user)
        stolen = bearer(secret)
        assert (await other_worker.get("/users/me", headers=stolen)).status_code == 200

        change = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
        assert (await client.post("/auth/password", json=change, headers=holder.headers())).status_code == 204

        assert_refused(await other_worker.get("/users/me", headers=stolen), 401)
        for kind in TokenKind:  # this session stays, and the API keys stay
            assert (await other_worker.get("/users/me", headers=holder.headers(kind))).status_code == 200


class TestRequestInProgress:
    """A key that is created with a token during the revocation of that token would outlive it."""

    @pytest.mark.parametrize("with_books", [False, True], ids=["without books", "with books"])
    @pytest.mark.parametrize("revoke", REVOKING.values(), ids=REVOKING)
    async def test_no_key_is_created_with_a_token_that_is_being_revoked(
        self,
        other_worker: AsyncClient,
        database: Database,
        holder: Holder,
        session: AsyncSession,
        revoke: Callable[[AsyncSession, User], Awaitable[None]],
        with_books: bool,
    ) -> None:
        if with_books:
            await an_order(session, holder.user)
        async with asyncio.TaskGroup() as tasks, database.transaction() as revoking:
            user = (await revoking.exec(select(User).where(User.id == holder.user.id))).one()
            await revoke(revoking, user)
            request = other_worker.post("/auth/keys", json={"name": "Too late"}, headers=holder.headers())
            creating = tasks.create_task(request)
            await asyncio.sleep(0.3)  # the token was still valid when the request came in
            assert not creating.done(), f"the request did not wait: {creating.result().text}"

        assert_refused(creating.result(), 401)
        names = select(Token.name).where(Token.user_id == holder.user.id)
        assert "Too late" not in (await session.exec(names)).all()
