"""/auth: who may call which route, and how users sign in and out."""

import asyncio
import hashlib
import logging
from datetime import datetime, timedelta
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth import passwords
from api.database.sessions import Database
from api.models.base import utcnow
from api.models.token import TokenKind
from api.models.user import User
from tests.auth.support import CURRENT_PARAMETERS, NEW_PASSWORD, bearer, sign_in, tokens_of
from tests.conftest import Connect
from tests.factories import a_token, a_user
from tests.routes.auth.support import everything_stored
from tests.support import PASSWORD, assert_refused, count_statements, said
from tests.world import CONFIRMATION_TOKEN, REGISTRATION_TOKEN, RESET_TOKEN

ACCESS = """
                                             nobody  owner  other  staff
POST   /auth/token                              200    200    200    200
DELETE /auth/token                              401    204    204    204
POST   /auth/password                           401    204    204    204
POST   /auth/email                              401    200    200    200
POST   /auth/password/reset                     202    202    202    202
POST   /auth/password/reset/confirm             204    204    204    204
POST   /auth/email/confirm                      204    204    204    204
POST   /auth/registration/confirm               201    201    201    201
GET    /auth/keys                               401    200    200    200
POST   /auth/keys                               401    201    201    201
DELETE /auth/keys/{id}                          401    204    404    404
"""

REQUESTS: dict[str, dict[str, Any]] = {
    "POST /auth/token": {"data": {"username": "owner", "password": PASSWORD}},
    "POST /auth/password": {"json": {"current_password": PASSWORD, "new_password": NEW_PASSWORD}},
    "POST /auth/email": {"json": {"current_password": PASSWORD, "email": "moved@example.com"}},
    "POST /auth/password/reset": {"json": {"login": "owner"}},
    "POST /auth/password/reset/confirm": {"json": {"token": RESET_TOKEN, "new_password": NEW_PASSWORD}},
    "POST /auth/email/confirm": {"json": {"token": CONFIRMATION_TOKEN}},
    "POST /auth/registration/confirm": {"json": {"token": REGISTRATION_TOKEN}},
    "POST /auth/keys": {"json": {"name": "Stock sync"}},
}
"""What is sent on a line of `ACCESS`, and what stands in the path where it is not the row of the world."""


class TestSignIn:
    @pytest.mark.parametrize("username", ["customer", "customer@example.com", "Customer@Example.COM"])
    async def test_a_user_signs_in_by_username_or_email(
        self, client: AsyncClient, customer: User, session: AsyncSession, username: str
    ) -> None:
        before = utcnow()

        response = await sign_in(client, username)

        assert response.status_code == 200
        body = response.json()
        assert body.keys() == {"access_token", "token_type", "expires_in"}
        assert (body["token_type"], body["expires_in"]) == ("bearer", 14 * 24 * 60 * 60)
        me = await client.get("/users/me", headers=bearer(body["access_token"]))
        assert me.json()["id"] == customer.id
        assert datetime.fromisoformat(me.json()["last_login_at"]) >= before

    async def test_a_sign_in_creates_a_session_of_fourteen_days(
        self, client: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        before = utcnow()

        secret = (await sign_in(client)).json()["access_token"]

        (token,) = await tokens_of(session, customer)
        assert (token.kind, token.prefix) == (TokenKind.SESSION, secret[:12])
        assert before < token.expires_at - timedelta(days=14) < utcnow()

    async def test_each_sign_in_creates_another_token(
        self, client: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        secrets = {(await sign_in(client)).json()["access_token"] for _ in range(2)}

        assert len(secrets) == len(await tokens_of(session, customer)) == 2

    async def test_only_the_hash_of_a_token_is_stored(
        self, client: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        secret = (await sign_in(client)).json()["access_token"]

        everything = await everything_stored(session)

        assert len(secret) >= 43
        assert hashlib.sha256(secret.encode()).hexdigest() in everything
        assert secret not in everything
        assert secret[12:] not in everything

    async def test_passwords_and_tokens_are_not_logged(
        self, client: AsyncClient, customer: User, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.DEBUG):
            secret = (await sign_in(client)).json()["access_token"]
            await sign_in(client, password="Wr0ng-Password")
            await client.get("/users/me", headers=bearer(secret))

        assert PASSWORD not in caplog.text
        assert "Wr0ng-Password" not in caplog.text
        assert secret not in caplog.text

    async def test_a_wrong_password_and_an_unknown_user_get_the_same_response(
        self, client: AsyncClient, customer: User, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await a_user(session, "inactive", is_active=False)
        verified: list[str] = []
        verify = passwords._hasher.verify_and_update

        def spy(password: str, hashed: str) -> tuple[bool, str | None]:
            verified.append(hashed)
            return verify(password, hashed)

        monkeypatch.setattr(passwords._hasher, "verify_and_update", spy)
        answers = [
            await sign_in(client, username, password)
            for username, password in (
                ("customer", "Wrong1234"),
                ("customer@example.com", "Wrong1234"),
                ("nobody", PASSWORD),
                ("nobody@example.com", PASSWORD),
                ("inactive", PASSWORD),
                ("customer_", PASSWORD),
                ("", ""),
            )
        ]

        answers = [answer for answer in answers if answer.status_code != 422]  # an empty username is not a form
        assert len(answers) >= 6
        assert_refused(answers[0], 401, "The username or the password is wrong.")
        assert len({str(said(answer)) for answer in answers}) == 1
        headers = [{**answer.headers, "x-request-id": "any"} for answer in answers]
        assert len({tuple(each.items()) for each in headers}) == 1
        assert len(verified) == len(answers)
        assert all(hashed.startswith(CURRENT_PARAMETERS) for hashed in verified)
        assert await tokens_of(session, customer) == []

    async def test_many_simultaneous_sign_ins_succeed(
        self, client: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        for _ in range(3):
            responses = await asyncio.gather(*(sign_in(client) for _ in range(8)))
            assert [response.status_code for response in responses] == [200] * 8
        assert len(await tokens_of(session, customer)) == 24

    @pytest.mark.parametrize("change", ["deactivated", "erased", "new password"])
    async def test_a_sign_in_during_a_change_of_the_user_leaves_no_session(
        self, connect: Connect, client: AsyncClient, as_staff: AsyncClient, session: AsyncSession, change: str
    ) -> None:
        for _ in range(5):
            user = await a_user(session)
            own = await connect(user)
            changing = {
                "deactivated": as_staff.patch(f"/users/{user.id}", json={"is_active": False}),
                "erased": as_staff.delete(f"/users/{user.id}"),
                "new password": own.post(
                    "/auth/password", json={"current_password": PASSWORD, "new_password": NEW_PASSWORD}
                ),
            }
            chosen = changing.pop(change)
            for other in changing.values():
                other.close()

            signed_in, changed = await asyncio.gather(sign_in(client, user.username), chosen)

            assert signed_in.status_code in {200, 401, 503}
            assert changed.is_success or changed.status_code == 503
            if changed.is_success:
                secret = signed_in.json().get("access_token", "")
                accepted = signed_in.is_success and (await client.get("/users/me", headers=bearer(secret))).is_success
                assert not accepted, f"a session outlived the change of the user ({change})"

    async def test_a_sign_in_takes_six_statements(
        self, client: AsyncClient, customer: User, database: Database
    ) -> None:
        with count_statements(database) as statements:
            await sign_in(client)
        assert len(statements) == 6  # the user, the failed attempts, the time of the sign-in, the token


class TestSignOut:
    async def test_a_sign_out_revokes_only_the_token_of_the_request(
        self, as_customer: AsyncClient, client: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        other, token = await a_token(session, customer)

        response = await as_customer.delete("/auth/token")

        assert (response.status_code, response.content) == (204, b"")
        assert_refused(await as_customer.get("/users/me"), 401)
        assert_refused(await as_customer.delete("/auth/token"), 401)
        assert (await client.get("/users/me", headers=bearer(other))).status_code == 200
        assert [each.id for each in await tokens_of(session, customer)] == [token.id]

    async def test_a_sign_out_with_an_api_key_revokes_the_key(
        self, client: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        secret, _ = await a_token(session, customer, TokenKind.KEY)

        assert (await client.delete("/auth/token", headers=bearer(secret))).status_code == 204
        assert await tokens_of(session, customer) == []

    async def test_an_anonymous_caller_is_refused(self, client: AsyncClient) -> None:
        assert_refused(await client.delete("/auth/token"), 401)
