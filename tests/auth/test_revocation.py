"""What ends a token ends it at once: on every worker, and for what is being done with it just then."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import httpx
import pytest
from httpx import AsyncClient
from sqlmodel import col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth.tokens import new_token
from api.database.sessions import Database
from api.main import create_app
from api.models.base import utcnow
from api.models.order import Order
from api.models.token import Token, TokenKind
from api.models.user import User
from api.rules import erasure, user_access
from api.settings import Settings
from tests.support import PASSWORD, PASSWORD_HASH, CheckedTransport, Contract, assert_refused, save

LONG_AGO = utcnow() - timedelta(days=400)


@pytest.fixture
async def elsewhere(database: Database, settings: Settings, contract: Contract) -> AsyncIterator[AsyncClient]:
    """Another worker: an app with connections of its own to the same database."""
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=CheckedTransport(app, contract), base_url="http://test.example") as client,
    ):
        yield client


@dataclass
class Holder:
    """A customer with one token of each kind."""

    user: User
    secrets: dict[TokenKind, str]

    def headers(self, kind: TokenKind = TokenKind.SESSION) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secrets[kind]}"}


@pytest.fixture
async def holder(session: AsyncSession) -> Holder:
    user = User(username="holder", email="holder@example.com", hashed_password=PASSWORD_HASH, created_at=LONG_AGO)
    await save(session, user)
    holder = Holder(user, {})
    for kind in TokenKind:
        holder.secrets[kind], token = new_token(user, kind, kind.value, timedelta(days=1))
        token.last_used_at = utcnow()
        await save(session, token)
    return holder


async def tokens_of(session: AsyncSession, user: User) -> int:
    return len((await session.exec(select(Token.id).where(Token.user_id == user.id))).all())


Ending = Callable[[AsyncClient, Holder], Awaitable[httpx.Response]]

ENDINGS: dict[str, Ending] = {
    "PATCH is_active": lambda staff, holder: staff.patch(f"/users/{holder.user.id}", json={"is_active": False}),
    "DELETE soft": lambda staff, holder: staff.delete(f"/users/{holder.user.id}/soft"),
    "DELETE soft by oneself": lambda staff, holder: staff.delete(
        f"/users/{holder.user.id}/soft", headers=holder.headers()
    ),
    "bulk deactivate": lambda staff, holder: staff.patch("/users/bulk/deactivate?days=30"),
    "DELETE": lambda staff, holder: staff.delete(f"/users/{holder.user.id}"),
}


@pytest.mark.parametrize("with_books", [False, True], ids=["", "with books"])
@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
class TestOnAnotherWorker:
    async def test_no_token_and_no_key_works_any_more_not_even_once_the_user_is_back(
        self,
        as_staff: AsyncClient,
        elsewhere: AsyncClient,
        holder: Holder,
        session: AsyncSession,
        ending: Ending,
        with_books: bool,
    ) -> None:
        if with_books:
            await save(session, Order(user_id=holder.user.id, total_amount=Decimal("10.00")))
        for kind in TokenKind:
            assert (await elsewhere.get("/users/me", headers=holder.headers(kind))).status_code == 200

        assert (await ending(as_staff, holder)).is_success

        for kind in TokenKind:
            assert_refused(await elsewhere.get("/users/me", headers=holder.headers(kind)), 401)
        assert await tokens_of(session, holder.user) == 0
        await session.exec(update(User).where(col(User.id) == holder.user.id).values(is_active=True))
        for kind in TokenKind:
            assert_refused(await elsewhere.get("/users/me", headers=holder.headers(kind)), 401)


async def test_erasing_all_inactive_users_leaves_none_of_their_tokens(
    as_staff: AsyncClient, elsewhere: AsyncClient, holder: Holder, session: AsyncSession
) -> None:
    await session.exec(update(User).where(col(User.id) == holder.user.id).values(is_active=False))
    await save(session, Order(user_id=holder.user.id, total_amount=Decimal("10.00")))

    assert (await as_staff.delete("/users/bulk/inactive")).json() == {"changed": 1}

    assert await tokens_of(session, holder.user) == 0
    for kind in TokenKind:
        assert_refused(await elsewhere.get("/users/me", headers=holder.headers(kind)), 401)


async def test_a_password_change_ends_the_other_sessions_on_another_worker(
    client: AsyncClient, elsewhere: AsyncClient, holder: Holder, session: AsyncSession
) -> None:
    secret, token = new_token(holder.user, TokenKind.SESSION, "Stolen", timedelta(days=1))
    token.last_used_at = utcnow()
    await save(session, token)
    stolen = {"Authorization": f"Bearer {secret}"}
    assert (await elsewhere.get("/users/me", headers=stolen)).status_code == 200

    change = {"current_password": PASSWORD, "new_password": "SaferPass456"}
    assert (await client.post("/auth/password", json=change, headers=holder.headers())).status_code == 204

    assert_refused(await elsewhere.get("/users/me", headers=stolen), 401)
    for kind in TokenKind:  # this session, and the keys of programs, which know no password
        assert (await elsewhere.get("/users/me", headers=holder.headers(kind))).status_code == 200


async def _deactivate(session: AsyncSession, user: User) -> None:
    await user_access.lock(session, user)
    await user_access.deactivate(session, user)


async def _deactivate_idle(session: AsyncSession, user: User) -> None:
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


@pytest.mark.parametrize("with_books", [False, True], ids=["", "with books"])
@pytest.mark.parametrize("revoke", REVOKING.values(), ids=REVOKING)
class TestInFlight:
    """A key that is made with a token just while that is revoked would outlive it."""

    async def test_no_key_is_made_meanwhile(
        self,
        elsewhere: AsyncClient,
        database: Database,
        holder: Holder,
        session: AsyncSession,
        revoke: Callable[[AsyncSession, User], Awaitable[None]],
        with_books: bool,
    ) -> None:
        if with_books:
            await save(session, Order(user_id=holder.user.id, total_amount=Decimal("10.00")))
        async with asyncio.TaskGroup() as tasks, database.transaction() as revoking:
            user = (await revoking.exec(select(User).where(User.id == holder.user.id))).one()
            await revoke(revoking, user)
            making = elsewhere.post("/auth/keys", json={"name": "Too late"}, headers=holder.headers())
            made = tasks.create_task(making)
            await asyncio.sleep(0.3)  # its token was still valid when it came in
            assert not made.done()

        assert_refused(made.result(), 401)
        names = select(Token.name).where(Token.user_id == holder.user.id)
        assert "Too late" not in (await session.exec(names)).all()
