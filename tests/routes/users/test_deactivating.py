"""Deactivating users: one, or all who have not signed in for long."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth import tokens
from api.database.sessions import Database
from api.models.base import utcnow
from api.models.order import OrderStatus
from api.models.payment import PaymentMethod
from api.models.token import Token, TokenKind
from api.models.transaction import Transaction
from api.models.user import User
from api.rules import user_access
from tests.conftest import Connect
from tests.factories import (
    a_payment,
    a_post,
    a_token,
    a_transaction,
    a_user,
    an_account,
    an_order,
    an_order_event,
)
from tests.rules.users import count_belongings, count_rows, give_belongings, stored_user
from tests.support import PASSWORD, assert_refused, count_statements

LONG_AGO = utcnow() - timedelta(days=900)


async def _use_a_key(session: AsyncSession, user: User, at: datetime) -> None:
    await a_token(session, user, TokenKind.KEY, created_at=LONG_AGO, last_used_at=at)


async def _use_a_session(session: AsyncSession, user: User, at: datetime) -> None:
    await a_token(session, user, TokenKind.SESSION, created_at=LONG_AGO, last_used_at=at)


async def _make_a_key(session: AsyncSession, user: User, at: datetime) -> None:
    await a_token(session, user, TokenKind.KEY, created_at=at, last_used_at=None)


async def _order(session: AsyncSession, user: User, at: datetime) -> None:
    await an_order(session, user, created_at=at)


async def _pay_by_credit(session: AsyncSession, user: User, at: datetime) -> None:
    order = await an_order(session, user, created_at=LONG_AGO)
    await a_payment(session, order, method=PaymentMethod.STORE_CREDIT, created_at=at)
    await session.exec(update(Transaction).values(created_at=LONG_AGO))


async def _send_credit(session: AsyncSession, user: User, at: datetime) -> None:
    account = await an_account(session, user, "10.00")
    await a_transaction(session, account, await an_account(session), "5.00", created_at=at)


async def _cancel_an_order(session: AsyncSession, user: User, at: datetime) -> None:
    order = await an_order(session, user, created_at=LONG_AGO)
    await an_order_event(session, order, OrderStatus.CANCELLED, created_at=at)


async def _write_a_post(session: AsyncSession, user: User, at: datetime) -> None:
    await a_post(session, user, created_at=at, updated_at=at)


async def _change_a_post(session: AsyncSession, user: User, at: datetime) -> None:
    await a_post(session, user, created_at=LONG_AGO, updated_at=at)


ACTIVITIES: dict[str, Callable[[AsyncSession, User, datetime], Awaitable[None]]] = {
    "uses an API key": _use_a_key,
    "uses a session": _use_a_session,
    "makes an API key": _make_a_key,
    "orders": _order,
    "pays by store credit": _pay_by_credit,
    "sends store credit": _send_credit,
    "cancels an order": _cancel_an_order,
    "writes a post": _write_a_post,
    "changes a post": _change_a_post,
}
"""What a user does at a time."""


class TestDeactivateUser:
    async def test_users_can_deactivate_themselves(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await give_belongings(session, customer)

        response = await as_customer.delete(f"/users/{customer.id}/soft")

        assert (response.status_code, response.json()["is_active"]) == (200, False)
        user = await stored_user(session, customer.id)
        assert (user.is_active, user.username, user.erased_at) == (False, "customer", None)
        assert await count_belongings(session, customer) == [0, 1, 1, 1]
        assert_refused(await as_customer.get("/users/me"), 401)
        signing_in = {"username": "customer", "password": PASSWORD}
        assert_refused(await as_customer.post("/auth/token", data=signing_in), 401)

    async def test_staff_deactivate_any_user_and_activate_the_user_again(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        for _ in range(2):  # the second request changes nothing
            assert (await as_staff.delete(f"/users/{customer.id}/soft")).json()["is_active"] is False
        await as_staff.patch(f"/users/{customer.id}", json={"is_active": True})
        assert (await stored_user(session, customer.id)).is_active

    async def test_tokens_that_a_deactivation_revoked_stay_revoked_after_an_activation(
        self, as_staff: AsyncClient, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        response = await as_staff.patch(f"/users/{customer.id}", json={"is_active": False, "bio": "Locked."})
        assert (response.json()["is_active"], response.json()["bio"]) == (False, "Locked.")
        assert_refused(await as_customer.get("/users/me"), 401)

        await as_staff.patch(f"/users/{customer.id}", json={"is_active": True})

        assert (await stored_user(session, customer.id)).is_active
        assert_refused(await as_customer.get("/users/me"), 401)
        signed_in = await as_customer.post("/auth/token", data={"username": "customer", "password": PASSWORD})
        assert signed_in.status_code == 200

    async def test_other_users_are_not_found(
        self, client: AsyncClient, as_customer: AsyncClient, other_customer: User, session: AsyncSession
    ) -> None:
        assert_refused(await client.delete(f"/users/{other_customer.id}/soft"), 401)
        assert_refused(await as_customer.delete(f"/users/{other_customer.id}/soft"), 404)
        assert (await stored_user(session, other_customer.id)).is_active


class TestDeactivateIdleUsers:
    async def test_customers_without_a_recent_sign_in_are_deactivated(
        self, as_staff: AsyncClient, connect: Connect, session: AsyncSession
    ) -> None:
        now = utcnow()
        idle = await a_user(session, last_login_at=now - timedelta(days=31))
        recent = await a_user(session, last_login_at=now - timedelta(days=29), created_at=now - timedelta(days=900))
        never = await a_user(session, created_at=now - timedelta(days=31))
        new = await a_user(session)
        employee = await a_user(session, is_superuser=True, last_login_at=now - timedelta(days=900))
        inactive = await a_user(session, is_active=False, last_login_at=now - timedelta(days=900))
        as_idle, as_recent = await connect(idle), await connect(recent)
        of_idle = update(Token).where(col(Token.user_id) == idle.id)
        await session.exec(of_idle.values(last_used_at=now - timedelta(days=31), created_at=now - timedelta(days=31)))

        response = await as_staff.patch("/users/bulk/deactivate", params={"days": 30})

        assert response.json() == {"changed": 2}
        active = {
            user.id: (await stored_user(session, user.id)).is_active for user in (idle, recent, never, new, employee)
        }
        assert active == {idle.id: False, recent.id: True, never.id: False, new.id: True, employee.id: True}
        assert not (await stored_user(session, inactive.id)).is_active
        assert_refused(await as_idle.get("/users/me"), 401)
        assert (await as_recent.get("/users/me")).status_code == 200
        assert await count_rows(session, Token, Token.user_id == idle.id) == 0

    @pytest.mark.parametrize("activity", ACTIVITIES)
    @pytest.mark.parametrize(("days", "is_idle"), [(29, False), (31, True)])
    async def test_whoever_did_anything_since_is_not_idle(
        self, as_staff: AsyncClient, session: AsyncSession, activity: str, days: int, is_idle: bool
    ) -> None:
        long_ago = utcnow() - timedelta(days=900)
        user = await a_user(session, last_login_at=long_ago, created_at=long_ago)
        await ACTIVITIES[activity](session, user, utcnow() - timedelta(days=days))

        response = await as_staff.patch("/users/bulk/deactivate", params={"days": 30})

        assert response.json() == {"changed": int(is_idle)}
        assert (await stored_user(session, user.id)).is_active is not is_idle

    @pytest.mark.parametrize("end", ["revoked", "signed out", "purged"])
    async def test_the_use_of_a_token_that_is_gone_counts(
        self, as_staff: AsyncClient, connect: Connect, database: Database, session: AsyncSession, end: str
    ) -> None:
        long_ago = utcnow() - timedelta(days=900)
        user = await a_user(session, last_login_at=long_ago, created_at=long_ago)
        as_user = await connect(user)
        (token,) = (await session.exec(select(Token).where(Token.user_id == user.id))).all()
        kind = TokenKind.SESSION if end == "signed out" else TokenKind.KEY
        await session.exec(update(Token).where(col(Token.id) == token.id).values(kind=kind, last_used_at=None))
        before = (await stored_user(session, user.id)).updated_at

        assert (await as_user.get("/users/me")).status_code == 200
        if end == "purged":
            await session.exec(update(Token).where(col(Token.id) == token.id).values(expires_at=long_ago))
            async with database.transaction() as purging:
                assert await tokens.purge(purging) == 1
        else:
            path = f"/auth/keys/{token.id}" if end == "revoked" else "/auth/token"
            assert (await as_user.delete(path)).status_code == 204

        assert (await as_staff.patch("/users/bulk/deactivate", params={"days": 1})).json() == {"changed": 0}
        assert (await stored_user(session, user.id)).updated_at == before

    async def test_what_others_did_does_not_count(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        long_ago = utcnow() - timedelta(days=900)
        idle = await a_user(session, last_login_at=long_ago, created_at=long_ago)
        for do in ACTIVITIES.values():
            await do(session, await a_user(session), utcnow())

        assert (await as_staff.patch("/users/bulk/deactivate", params={"days": 30})).json() == {"changed": 1}
        assert not (await stored_user(session, idle.id)).is_active

    async def test_many_users_are_deactivated_so_many_at_a_time(
        self, as_staff: AsyncClient, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However many there are, a request takes seconds at most, and can be repeated."""
        monkeypatch.setattr(user_access, "USERS_AT_A_TIME", 2)
        for _ in range(5):
            await a_user(session, last_login_at=utcnow() - timedelta(days=31))

        changed = [(await as_staff.patch("/users/bulk/deactivate?days=30")).json()["changed"] for _ in range(4)]

        assert changed == [2, 2, 1, 0]

    async def test_a_second_request_changes_no_user(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        await a_user(session, last_login_at=utcnow() - timedelta(days=31))

        changed = [(await as_staff.patch("/users/bulk/deactivate?days=30")).json()["changed"] for _ in range(2)]

        assert changed == [1, 0]

    async def test_callers_other_than_staff_are_refused(
        self, client: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        idle = await a_user(session, last_login_at=utcnow() - timedelta(days=31))

        assert_refused(await client.patch("/users/bulk/deactivate?days=30"), 401)
        assert_refused(await as_customer.patch("/users/bulk/deactivate?days=30"), 403)
        assert (await stored_user(session, idle.id)).is_active

    @pytest.mark.parametrize(
        "query", [{}, {"days": 0}, {"days": -1}, {"days": 36_501}, {"days": "x"}, {"days": 2**70}], ids=str
    )
    async def test_an_invalid_number_of_days_is_refused(self, as_staff: AsyncClient, query: dict[str, Any]) -> None:
        assert_refused(await as_staff.patch("/users/bulk/deactivate", params=query), 422, "query.days")

    async def test_a_hundred_years_are_accepted(self, as_staff: AsyncClient, customer: User) -> None:
        assert (await as_staff.patch("/users/bulk/deactivate?days=36500")).json() == {"changed": 0}

    @pytest.mark.parametrize("size", [1, 20])
    async def test_any_number_of_users_takes_seven_statements(
        self, as_staff: AsyncClient, session: AsyncSession, database: Database, size: int
    ) -> None:
        for _ in range(size):
            await a_user(session, last_login_at=utcnow() - timedelta(days=31))

        with count_statements(database) as statements:
            response = await as_staff.patch("/users/bulk/deactivate?days=30")
        assert response.json() == {"changed": size}
        assert len(statements) == 7, "two of them lock what is changed, and one writes the audit trail"
