"""API keys: a user lists, creates and revokes them."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.base import utcnow
from api.models.token import Token, TokenKind
from api.models.types import MAX_ID
from api.models.user import User
from tests.auth.support import bearer, tokens_of
from tests.factories import a_token
from tests.routes.auth.support import everything_stored
from tests.support import assert_refused, count_statements


class TestListKeys:
    async def test_users_list_their_own_keys_newest_first(
        self, as_customer: AsyncClient, customer: User, other_customer: User, session: AsyncSession
    ) -> None:
        keys = [await a_token(session, customer, TokenKind.KEY) for _ in range(2)]
        await a_token(session, other_customer, TokenKind.KEY)

        response = await as_customer.get("/auth/keys")

        items = response.json()["items"]
        assert [(item["id"], item["name"], item["prefix"]) for item in items] == [
            (token.id, token.name, secret[:12]) for secret, token in reversed(keys)
        ]
        assert items[0].keys() == {"id", "name", "prefix", "created_at", "expires_at", "last_used_at"}
        assert not any(secret in response.text or token.token_hash in response.text for secret, token in keys)

    async def test_an_anonymous_caller_is_refused(self, client: AsyncClient) -> None:
        assert_refused(await client.get("/auth/keys"), 401)

    async def test_sessions_are_not_listed_and_a_page_beyond_the_end_is_empty(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        assert (await as_customer.get("/auth/keys")).json()["total"] == 0
        await a_token(session, customer, TokenKind.KEY)

        page = (await as_customer.get("/auth/keys", params={"page": 1_000_000})).json()

        assert (page["items"], page["total"], page["has_next"]) == ([], 1, False)

    @pytest.mark.parametrize("size", [1, 20])
    async def test_a_list_of_any_length_takes_two_statements(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, database: Database, size: int
    ) -> None:
        for _ in range(size):
            await a_token(session, customer, TokenKind.KEY)

        with count_statements(database) as statements:
            response = await as_customer.get("/auth/keys", params={"page_size": 100})
        assert len(response.json()["items"]) == size
        assert len(statements) == 2


class TestCreateKey:
    async def test_a_new_key_is_shown_once_and_is_accepted(
        self, as_customer: AsyncClient, client: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        before = utcnow()

        response = await as_customer.post("/auth/keys", json={"name": " Stock sync ", "expires_in_days": 7})

        assert response.status_code == 201
        body = response.json()
        secret = body.pop("token")
        assert (body["name"], body["prefix"]) == ("Stock sync", secret[:12])
        assert before < datetime.fromisoformat(body["expires_at"]) - timedelta(days=7) < utcnow()
        assert (await client.get("/users/me", headers=bearer(secret))).json()["id"] == customer.id
        (listed,) = (await as_customer.get("/auth/keys")).json()["items"]
        assert {**listed, "last_used_at": None} == body
        assert secret not in await everything_stored(session)

    async def test_a_key_expires_after_ninety_days_by_default(self, as_customer: AsyncClient) -> None:
        body = (await as_customer.post("/auth/keys", json={"name": "Sync"})).json()

        lifetime = datetime.fromisoformat(body["expires_at"]) - datetime.fromisoformat(body["created_at"])
        assert abs(lifetime - timedelta(days=90)) < timedelta(minutes=1)

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"name": ""}, "body.name"),
            ({"name": " "}, "body.name"),
            ({"name": "x" * 101}, "body.name"),
            ({"name": None}, "body.name"),
            ({"name": "a\0b"}, "body.name"),
            ({"name": 7}, "body.name"),
            ({"expires_in_days": 0}, "body.expires_in_days"),
            ({"expires_in_days": 3_651}, "body.expires_in_days"),
            ({"expires_in_days": 2**63}, "body.expires_in_days"),
            ({"expires_in_days": 1.5}, "body.expires_in_days"),
            ({"expires_in_days": None}, "body.expires_in_days"),
            ({"kind": "session"}, "body.kind"),
            ({"user_id": 1}, "body.user_id"),
        ],
        ids=lambda value: str(value)[:40],
    )
    async def test_an_invalid_field_is_refused(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, changes: dict[str, Any], field: str
    ) -> None:
        assert_refused(await as_customer.post("/auth/keys", json={"name": "Sync", **changes}), 422, field)
        assert [token.kind for token in await tokens_of(session, customer)] == [TokenKind.SESSION]

    async def test_an_anonymous_caller_is_refused(self, client: AsyncClient, session: AsyncSession) -> None:
        assert_refused(await client.post("/auth/keys", json={"name": "Sync"}), 401)
        assert (await session.exec(select(Token))).all() == []


class TestRevokeKey:
    async def test_a_revoked_key_is_refused_at_once(
        self, as_customer: AsyncClient, client: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        secret, token = await a_token(session, customer, TokenKind.KEY)
        kept, _ = await a_token(session, customer, TokenKind.KEY)

        assert (await as_customer.delete(f"/auth/keys/{token.id}")).status_code == 204

        assert_refused(await client.get("/users/me", headers=bearer(secret)), 401)
        assert (await client.get("/users/me", headers=bearer(kept))).status_code == 200
        assert_refused(await as_customer.delete(f"/auth/keys/{token.id}"), 404)

    async def test_keys_of_other_users_are_not_found_even_by_staff(
        self,
        client: AsyncClient,
        as_customer: AsyncClient,
        as_staff: AsyncClient,
        other_customer: User,
        session: AsyncSession,
    ) -> None:
        _, token = await a_token(session, other_customer, TokenKind.KEY)

        assert_refused(await client.delete(f"/auth/keys/{token.id}"), 401)
        for own in (as_customer, as_staff):
            assert_refused(await own.delete(f"/auth/keys/{token.id}"), 404)
        assert [each.id for each in await tokens_of(session, other_customer)] == [token.id]

    async def test_a_session_is_not_found_as_a_key(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        (token,) = await tokens_of(session, customer)

        assert_refused(await as_customer.delete(f"/auth/keys/{token.id}"), 404)
        assert (await as_customer.get("/users/me")).status_code == 200

    async def test_one_of_two_simultaneous_revocations_is_not_found(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        for _ in range(5):
            _, token = await a_token(session, customer, TokenKind.KEY)
            responses = await asyncio.gather(*(as_customer.delete(f"/auth/keys/{token.id}") for _ in range(2)))
            assert sorted(response.status_code for response in responses) == [204, 404]

    @pytest.mark.parametrize("key_id", ["0", str(MAX_ID + 1), "9" * 4_000, "one"], ids=lambda value: value[:25])
    async def test_a_text_that_cannot_be_an_id_is_refused(self, as_customer: AsyncClient, key_id: str) -> None:
        assert_refused(await as_customer.delete(f"/auth/keys/{key_id}"), 422, "path.id")
