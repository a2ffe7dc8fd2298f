"""Changing the password, which revokes the other sessions."""

import asyncio
import logging
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.token import TokenKind
from api.models.user import User
from tests.auth.support import CURRENT_PARAMETERS, NEW_PASSWORD, bearer, password_hash, sign_in, tokens_of
from tests.conftest import Connect
from tests.factories import a_token
from tests.support import PASSWORD, PASSWORD_HASH, assert_refused

CHANGE = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}


class TestChangePassword:
    async def test_only_the_new_password_is_accepted_after_a_change(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        response = await as_customer.post("/auth/password", json=CHANGE)

        assert (response.status_code, response.content) == (204, b"")
        assert_refused(await sign_in(as_customer), 401)
        assert (await sign_in(as_customer, password=NEW_PASSWORD)).status_code == 200
        stored = await password_hash(session, customer)
        assert stored.startswith(CURRENT_PARAMETERS)
        assert stored != PASSWORD_HASH

    async def test_a_change_revokes_only_the_other_sessions_of_the_user(
        self,
        as_customer: AsyncClient,
        as_other_customer: AsyncClient,
        client: AsyncClient,
        customer: User,
        session: AsyncSession,
    ) -> None:
        sessions = [(await a_token(session, customer))[0] for _ in range(2)]
        key, _ = await a_token(session, customer, TokenKind.KEY)

        await as_customer.post("/auth/password", json=CHANGE)

        for secret in sessions:
            assert_refused(await client.get("/users/me", headers=bearer(secret)), 401)
        assert (await as_customer.get("/users/me")).status_code == 200
        assert (await client.get("/users/me", headers=bearer(key))).status_code == 200
        assert (await as_other_customer.get("/users/me")).status_code == 200
        assert len(await tokens_of(session, customer)) == 2

    async def test_a_wrong_current_password_is_refused(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        other, _ = await a_token(session, customer)

        response = await as_customer.post("/auth/password", json={**CHANGE, "current_password": NEW_PASSWORD})

        assert_refused(response, 403, "current password is wrong")
        assert await password_hash(session, customer) == PASSWORD_HASH
        assert (await as_customer.get("/users/me", headers=bearer(other))).status_code == 200

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"new_password": "weak"}, "body.new_password"),
            ({"new_password": "lowercase123"}, "body.new_password"),
            ({"new_password": "NoDigitsHere"}, "body.new_password"),
            ({"new_password": "A1" * 65}, "body.new_password"),
            ({"new_password": None}, "body.new_password"),
            ({"new_password": "Secure\0Pass123"}, "body.new_password"),
            ({"current_password": None}, "body.current_password"),
            ({"current_password": "x" * 129}, "body.current_password"),
            ({"user_id": 1}, "body.user_id"),
        ],
        ids=lambda value: str(value)[:40],
    )
    async def test_an_invalid_field_is_refused(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, changes: dict[str, Any], field: str
    ) -> None:
        response = await as_customer.post("/auth/password", json={**CHANGE, **changes})

        assert_refused(response, 422, field)
        assert PASSWORD not in response.text
        assert await password_hash(session, customer) == PASSWORD_HASH

    async def test_an_anonymous_caller_is_refused(self, client: AsyncClient) -> None:
        assert_refused(await client.post("/auth/password", json=CHANGE), 401)

    async def test_one_of_two_simultaneous_changes_succeeds(
        self, connect: Connect, client: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        first, second = await connect(customer), await connect(customer)
        changes = [{**CHANGE, "new_password": f"{NEW_PASSWORD}{n}"} for n in range(2)]

        responses = await asyncio.gather(
            *(own.post("/auth/password", json=change) for own, change in zip((first, second), changes, strict=True))
        )

        done = [response.status_code == 204 for response in responses]
        assert sorted(done) == [False, True]
        assert {response.status_code for response in responses} <= {204, 401, 403, 503}
        now = [(await sign_in(client, password=change["new_password"])).status_code == 200 for change in changes]
        assert now == done

    async def test_passwords_are_not_logged(self, as_customer: AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG):
            await as_customer.post("/auth/password", json=CHANGE)

        assert PASSWORD not in caplog.text
        assert NEW_PASSWORD not in caplog.text
