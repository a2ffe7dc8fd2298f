"""Tokens: which ones are accepted, and how their use is recorded."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from sqlalchemy.exc import OperationalError
from sqlmodel import col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.base import utcnow
from api.models.token import Token, TokenKind
from api.models.user import User
from tests.auth.support import bearer, tokens_of
from tests.databases import Backend
from tests.factories import a_token
from tests.support import assert_refused, count_statements
from tests.web.support import open_transaction


class TestToken:
    @pytest.mark.parametrize("kind", TokenKind)
    async def test_an_expired_token_is_refused(
        self, client: AsyncClient, customer: User, session: AsyncSession, kind: TokenKind
    ) -> None:
        secret, token = await a_token(session, customer, kind, days=1)
        assert (await client.get("/users/me", headers=bearer(secret))).status_code == 200
        await session.exec(update(Token).where(col(Token.id) == token.id).values(expires_at=utcnow()))

        response = await client.get("/users/me", headers=bearer(secret))

        assert_refused(response, 401, "The token is invalid or has expired.")
        assert response.headers["WWW-Authenticate"] == "Bearer"

    async def test_a_revoked_token_is_refused(self, client: AsyncClient, customer: User, session: AsyncSession) -> None:
        secret, _ = await a_token(session, customer)
        await session.exec(delete(Token))

        assert_refused(await client.get("/users/me", headers=bearer(secret)), 401)

    @pytest.mark.parametrize("kind", TokenKind)
    async def test_a_token_of_a_deactivated_user_is_refused(
        self, client: AsyncClient, customer: User, session: AsyncSession, kind: TokenKind
    ) -> None:
        secret, _ = await a_token(session, customer, kind)
        await session.exec(update(User).values(is_active=False))

        assert_refused(await client.get("/users/me", headers=bearer(secret)), 401)

    async def test_the_stored_hash_is_not_accepted_as_a_token(
        self, client: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        _, token = await a_token(session, customer)

        for guess in (token.token_hash, token.prefix):
            assert_refused(await client.get("/users/me", headers=bearer(guess)), 401)

    @pytest.mark.parametrize(
        "header",
        [b"Bearer nonsense", b"Bearer", b"Bearer ", b"Basic Y3VzdG9tZXI6eA==", b"nonsense", b"Bearer \xff\xfe", b""],
        ids=repr,
    )
    async def test_a_header_without_a_valid_token_is_refused(self, client: AsyncClient, header: bytes) -> None:
        response = await client.get("/users/me", headers=[(b"Authorization", header)])

        assert_refused(response, 401)
        assert response.headers["WWW-Authenticate"] == "Bearer"

    async def test_an_invalid_token_is_refused_even_on_a_public_route(self, client: AsyncClient) -> None:
        assert (await client.get("/posts")).status_code == 200
        assert_refused(await client.get("/posts", headers=bearer("shop_nonsense")), 401)

    async def test_the_use_of_a_token_is_recorded_once_an_hour(
        self, client: AsyncClient, customer: User, session: AsyncSession, database: Database
    ) -> None:
        secret, token = await a_token(session, customer, last_used_at=None)

        async def use() -> tuple[datetime, int]:
            with count_statements(database) as statements:
                assert (await client.get("/users/me", headers=bearer(secret))).status_code == 200
            recorded = (await session.exec(select(Token.last_used_at).where(Token.id == token.id))).one()
            assert recorded is not None
            return recorded, len(statements)

        first, statements = await use()
        assert statements == 4  # the caller, the user twice, the token
        assert utcnow() - first < timedelta(minutes=1)
        assert await use() == (first, 1)
        for ago, recorded_again in ((59, False), (61, True)):
            before = utcnow() - timedelta(minutes=ago)
            await session.exec(update(Token).values(last_used_at=before))
            last, statements = await use()
            assert (last > before, statements == 4) == (recorded_again, recorded_again)

    async def test_a_request_does_not_wait_to_record_its_use_of_a_token(
        self, client: AsyncClient, customer: User, session: AsyncSession, database: Database, backend: Backend
    ) -> None:
        """An order holds its customer until it is placed: on MariaDB a wait for it would be part of a deadlock."""
        if backend.name == "sqlite":
            pytest.skip("SQLite has one writer at a time, and locks no rows")
        secret, token = await a_token(session, customer, last_used_at=None)
        customer_row = select(User.id).where(User.id == customer.id).with_for_update()

        async with open_transaction(database, statement=customer_row):
            with count_statements(database) as statements:
                assert (await client.get("/users/me", headers=bearer(secret))).status_code == 200
        assert not [statement for statement in statements if statement.startswith("UPDATE")]
        assert (await client.get("/users/me", headers=bearer(secret))).status_code == 200

        await session.refresh(token)
        assert token.last_used_at is not None, "the use of the token was never recorded"

    async def test_a_request_succeeds_when_the_use_of_the_token_cannot_be_recorded(
        self, client: AsyncClient, customer: User, session: AsyncSession, app: FastAPI, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        secret, _ = await a_token(session, customer, last_used_at=None)

        def locked(**_: Any) -> AsyncSession:
            raise OperationalError("UPDATE", {}, Exception("locked"))

        monkeypatch.setattr(app.state.database, "writes", locked)

        assert (await client.get("/users/me", headers=bearer(secret))).status_code == 200
        (stored,) = await tokens_of(session, customer)
        assert stored.last_used_at is None
