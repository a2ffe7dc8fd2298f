"""/auth: signing in and out, passwords, API keys, and what a token is good for."""

import asyncio
import hashlib
import logging
import threading
from datetime import datetime, timedelta
from itertools import count
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy.exc import OperationalError
from sqlmodel import SQLModel, col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth import passwords
from api.auth.tokens import new_token
from api.database.sessions import Database
from api.models.base import utcnow
from api.models.token import Token, TokenKind
from api.models.types import MAX_ID
from api.models.user import User
from tests.conftest import Connect
from tests.support import PASSWORD, PASSWORD_HASH, assert_refused, count_statements, save

NEW_PASSWORD = "SaferPass456"

numbers = count(1)


async def sign_in(client: AsyncClient, username: str = "customer", password: str = PASSWORD) -> httpx.Response:
    return await client.post("/auth/token", data={"username": username, "password": password})


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def a_token(
    session: AsyncSession, user: User, kind: TokenKind = TokenKind.SESSION, days: float = 1, **fields: Any
) -> tuple[str, Token]:
    secret, token = new_token(user, kind, f"Token {next(numbers)}", timedelta(days=days))
    for name, value in {"last_used_at": utcnow(), **fields}.items():
        setattr(token, name, value)
    await save(session, token)
    return secret, token


async def tokens_of(session: AsyncSession, user: User) -> list[Token]:
    return list((await session.exec(select(Token).where(Token.user_id == user.id).order_by(col(Token.id)))).all())


async def password_hash(session: AsyncSession, user: User) -> str:
    return (await session.exec(select(User.hashed_password).where(User.id == user.id))).one()


async def everything_stored(session: AsyncSession) -> str:
    """All that is in the database, as one text."""
    connection = await session.connection()
    rows = [row for table in SQLModel.metadata.sorted_tables for row in await connection.execute(table.select())]
    return repr(rows)


class TestSignIn:
    @pytest.mark.parametrize("username", ["customer", "customer@example.com", "Customer@Example.COM"])
    async def test_by_username_or_email_address(
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

    async def test_makes_a_session_of_fourteen_days(
        self, client: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        before = utcnow()

        secret = (await sign_in(client)).json()["access_token"]

        (token,) = await tokens_of(session, customer)
        assert (token.kind, token.prefix) == (TokenKind.SESSION, secret[:12])
        assert before < token.expires_at - timedelta(days=14) < utcnow()

    async def test_each_makes_another_token(self, client: AsyncClient, customer: User, session: AsyncSession) -> None:
        secrets = {(await sign_in(client)).json()["access_token"] for _ in range(2)}

        assert len(secrets) == len(await tokens_of(session, customer)) == 2

    async def test_the_token_is_stored_as_its_hash_alone(
        self, client: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        secret = (await sign_in(client)).json()["access_token"]

        everything = await everything_stored(session)

        assert len(secret) >= 43
        assert hashlib.sha256(secret.encode()).hexdigest() in everything
        assert secret not in everything
        assert secret[12:] not in everything

    async def test_neither_password_nor_token_is_logged(
        self, client: AsyncClient, customer: User, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.DEBUG):
            secret = (await sign_in(client)).json()["access_token"]
            await sign_in(client, password="Wr0ng-Password")
            await client.get("/users/me", headers=bearer(secret))

        assert PASSWORD not in caplog.text
        assert "Wr0ng-Password" not in caplog.text
        assert secret not in caplog.text

    async def test_a_wrong_password_and_an_unknown_user_cannot_be_told_apart(
        self, client: AsyncClient, customer: User, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        inactive = User(
            username="inactive", email="inactive@example.com", hashed_password=PASSWORD_HASH, is_active=False
        )
        await save(session, inactive)
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
                ("CUSTOMER", PASSWORD),
                ("", ""),
            )
        ]

        answers = [answer for answer in answers if answer.status_code != 422]  # an empty name is none at all
        assert len(answers) >= 6
        assert_refused(answers[0], 401, "The username or the password is wrong.")
        assert len({answer.content for answer in answers}) == 1
        assert len({tuple(answer.headers.items()) for answer in answers}) == 1
        assert len(verified) == len(answers)
        assert all(hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$") for hashed in verified)
        assert await tokens_of(session, customer) == []

    async def test_a_long_password_counts_to_its_end(self, client: AsyncClient) -> None:
        password = "Aa1" + "x" * 100
        new = {"username": "customer", "email": "customer@example.com", "password": f"{password}1"}
        await client.post("/users", json=new)

        assert_refused(await sign_in(client, password=f"{password}2"), 401)
        assert (await sign_in(client, password=f"{password}1")).status_code == 200

    async def test_an_old_hash_is_replaced_where_the_parameters_have_risen(
        self, client: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        old = PasswordHash([Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)]).hash(PASSWORD)
        await session.exec(update(User).values(hashed_password=old))

        assert_refused(await sign_in(client, password="Wrong1234"), 401)
        assert await password_hash(session, customer) == old
        assert (await sign_in(client)).status_code == 200
        new = await password_hash(session, customer)
        assert new.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert (await sign_in(client)).status_code == 200
        assert await password_hash(session, customer) == new

    async def test_hashes_two_at_a_time_and_no_more(
        self, client: AsyncClient, customer: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        verify, running, most, guard = passwords._hasher.verify_and_update, 0, 0, threading.Lock()
        main_thread, threads = threading.get_ident(), set()

        def spy(password: str, hashed: str) -> tuple[bool, str | None]:
            nonlocal running, most
            with guard:
                running += 1
                most = max(most, running)
                threads.add(threading.get_ident())
            try:
                return verify(password, hashed)
            finally:
                with guard:
                    running -= 1

        monkeypatch.setattr(passwords._hasher, "verify_and_update", spy)
        responses = await asyncio.gather(*(sign_in(client) for _ in range(8)))

        assert [response.status_code for response in responses] == [200] * 8
        assert 1 <= most <= 2
        assert main_thread not in threads

    async def test_many_at_once_all_get_in(self, client: AsyncClient, customer: User, session: AsyncSession) -> None:
        for _ in range(3):
            responses = await asyncio.gather(*(sign_in(client) for _ in range(8)))
            assert [response.status_code for response in responses] == [200] * 8
        assert len(await tokens_of(session, customer)) == 24

    @pytest.mark.parametrize("change", ["deactivated", "erased", "new password"])
    async def test_leaves_no_session_behind_when_the_user_is_changed_meanwhile(
        self, connect: Connect, client: AsyncClient, as_staff: AsyncClient, session: AsyncSession, change: str
    ) -> None:
        for number in range(5):
            name = f"user_{number}"
            user = User(username=name, email=f"{name}@example.com", hashed_password=PASSWORD_HASH)
            await save(session, user)
            own = await connect(user)
            changing = {
                "deactivated": as_staff.patch(f"/users/{user.id}", json={"is_active": False}),
                "erased": as_staff.delete(f"/users/{user.id}"),
                "new password": own.post(
                    "/auth/password", json={"current_password": PASSWORD, "new_password": NEW_PASSWORD}
                ),
            }
            mine = changing.pop(change)
            for other in changing.values():
                other.close()

            signed_in, changed = await asyncio.gather(sign_in(client, name), mine)

            assert signed_in.status_code in {200, 401, 503}
            assert changed.is_success or changed.status_code == 503
            if changed.is_success:
                secret = signed_in.json().get("access_token", "")
                late = signed_in.is_success and (await client.get("/users/me", headers=bearer(secret))).is_success
                assert not late

    async def test_takes_four_statements(self, client: AsyncClient, customer: User, database: Database) -> None:
        with count_statements(database) as statements:
            await sign_in(client)
        assert len(statements) == 4  # who it is, whether too many failed, when it was, the token

    @pytest.mark.parametrize(
        ("form", "field"),
        [
            ({"password": PASSWORD}, "body.username"),
            ({"username": "customer"}, "body.password"),
            ({"username": "customer", "password": PASSWORD, "grant_type": "magic"}, "body.grant_type"),
        ],
        ids=str,
    )
    async def test_a_bad_form_is_refused(self, client: AsyncClient, form: dict[str, str], field: str) -> None:
        response = await client.post("/auth/token", data=form)

        assert_refused(response, 422, field)
        assert PASSWORD not in response.text

    async def test_json_is_no_form(self, client: AsyncClient, customer: User) -> None:
        response = await client.post("/auth/token", json={"username": "customer", "password": PASSWORD})

        assert_refused(response, 422, "body.username")
        assert PASSWORD not in response.text

    async def test_a_multipart_form_will_do(self, client: AsyncClient, customer: User) -> None:
        form = {"username": (None, "customer"), "password": (None, PASSWORD)}

        assert (await client.post("/auth/token", files=form)).status_code == 200

    async def test_a_broken_multipart_form_is_refused(self, client: AsyncClient) -> None:
        headers = {"Content-Type": "multipart/form-data; boundary=x"}

        response = await client.post("/auth/token", content=b"--y\r\nnonsense", headers=headers)

        assert response.status_code in {400, 422}

    async def test_a_form_that_is_too_large_is_refused(self, client: AsyncClient) -> None:
        assert_refused(await sign_in(client, password="x" * 1_100_000), 413)

    @pytest.mark.parametrize("username", ["a\0b", "\0", "' OR 1=1 --", "%", "cust%", "x" * 100_000, "\ufffd", "😀"])
    async def test_strange_names_are_nobodys(self, client: AsyncClient, customer: User, username: str) -> None:
        assert (await sign_in(client, username)).status_code in {401, 422}

    @pytest.mark.parametrize("body", [b"username=%ff&password=%ff", b"username=%ED%A0%80&password=%ED%A0%80", b"=&=&"])
    async def test_strange_bytes_are_nobodys(self, client: AsyncClient, body: bytes) -> None:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}

        assert (await client.post("/auth/token", content=body, headers=headers)).status_code in {401, 422}

    @pytest.mark.parametrize(
        ("charset", "multipart"),
        [("utf-7", 401), ("unicode_escape", 401), ("no such one", 401), ("utf-16", 422), ("undefined", 400)],
    )
    async def test_strange_charsets_are_nobodys(
        self, client: AsyncClient, customer: User, charset: str, multipart: int
    ) -> None:
        """Half of a surrogate pair or a NUL, in whatever charset the client says that its form is written in."""
        part = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
        for value in (b"+2AA-", b"\\ud800", b"\\x00", b"\x00", b"\xff", b"\x00\xd8", b"\xed\xa0\x80"):
            form = {b"username": value, b"password": value}
            bodies = {
                "multipart/form-data; boundary=x": b"".join(part % each for each in form.items()) + b"--x--\r\n",
                "application/x-www-form-urlencoded": urlencode(form).encode(),
            }
            for content_type, body in bodies.items():
                headers = {"Content-Type": f'{content_type}; charset="{charset}"'}
                response = await client.post("/auth/token", content=body, headers=headers)
                expected = multipart if content_type.startswith("multipart") else 401
                assert response.status_code == expected, (content_type, value)


class TestTokens:
    @pytest.mark.parametrize("kind", TokenKind)
    async def test_an_expired_one_is_refused(
        self, client: AsyncClient, customer: User, session: AsyncSession, kind: TokenKind
    ) -> None:
        secret, token = await a_token(session, customer, kind, days=1)
        assert (await client.get("/users/me", headers=bearer(secret))).status_code == 200
        await session.exec(update(Token).where(col(Token.id) == token.id).values(expires_at=utcnow()))

        response = await client.get("/users/me", headers=bearer(secret))

        assert_refused(response, 401, "not valid")
        assert response.headers["WWW-Authenticate"] == "Bearer"

    async def test_a_revoked_one_is_refused(self, client: AsyncClient, customer: User, session: AsyncSession) -> None:
        secret, _ = await a_token(session, customer)
        await session.exec(delete(Token))

        assert_refused(await client.get("/users/me", headers=bearer(secret)), 401)

    @pytest.mark.parametrize("kind", TokenKind)
    async def test_those_of_a_deactivated_user_stop_at_once(
        self, client: AsyncClient, customer: User, session: AsyncSession, kind: TokenKind
    ) -> None:
        secret, _ = await a_token(session, customer, kind)
        await session.exec(update(User).values(is_active=False))

        assert_refused(await client.get("/users/me", headers=bearer(secret)), 401)

    async def test_the_stored_hash_is_no_token(
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
    async def test_what_is_no_token_is_refused(self, client: AsyncClient, header: bytes) -> None:
        response = await client.get("/users/me", headers=[(b"Authorization", header)])

        assert_refused(response, 401)
        assert response.headers["WWW-Authenticate"] == "Bearer"

    async def test_one_that_is_not_valid_is_refused_also_where_none_is_needed(self, client: AsyncClient) -> None:
        assert (await client.get("/posts")).status_code == 200
        assert_refused(await client.get("/posts", headers=bearer("shop_nonsense")), 401)

    async def test_their_use_is_noted_once_an_hour(
        self, client: AsyncClient, customer: User, session: AsyncSession, database: Database
    ) -> None:
        secret, token = await a_token(session, customer, last_used_at=None)

        async def use() -> tuple[datetime, int]:
            with count_statements(database) as statements:
                assert (await client.get("/users/me", headers=bearer(secret))).status_code == 200
            noted = (await session.exec(select(Token.last_used_at).where(Token.id == token.id))).one()
            assert noted is not None
            return noted, len(statements)

        first, statements = await use()
        assert statements == 2
        assert utcnow() - first < timedelta(minutes=1)
        assert await use() == (first, 1)
        for ago, noted_again in ((59, False), (61, True)):
            before = utcnow() - timedelta(minutes=ago)
            await session.exec(update(Token).values(last_used_at=before))
            last, statements = await use()
            assert (last > before, statements == 2) == (noted_again, noted_again)

    async def test_a_request_stands_also_where_their_use_cannot_be_noted(
        self, client: AsyncClient, customer: User, session: AsyncSession, app: FastAPI, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        secret, _ = await a_token(session, customer, last_used_at=None)

        def locked(**_: Any) -> AsyncSession:
            raise OperationalError("UPDATE", {}, Exception("locked"))

        monkeypatch.setattr(app.state.database, "writes", locked)

        assert (await client.get("/users/me", headers=bearer(secret))).status_code == 200
        (stored,) = await tokens_of(session, customer)
        assert stored.last_used_at is None


class TestSignOut:
    async def test_revokes_the_token_it_was_sent_with_and_no_other(
        self, as_customer: AsyncClient, client: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        other, token = await a_token(session, customer)

        response = await as_customer.delete("/auth/token")

        assert (response.status_code, response.content) == (204, b"")
        assert_refused(await as_customer.get("/users/me"), 401)
        assert_refused(await as_customer.delete("/auth/token"), 401)
        assert (await client.get("/users/me", headers=bearer(other))).status_code == 200
        assert [each.id for each in await tokens_of(session, customer)] == [token.id]

    async def test_with_an_api_key_revokes_it(self, client: AsyncClient, customer: User, session: AsyncSession) -> None:
        secret, _ = await a_token(session, customer, TokenKind.KEY)

        assert (await client.delete("/auth/token", headers=bearer(secret))).status_code == 204
        assert await tokens_of(session, customer) == []

    async def test_nobody_is_signed_in(self, client: AsyncClient) -> None:
        assert_refused(await client.delete("/auth/token"), 401)


class TestChangePassword:
    CHANGE = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}

    async def test_the_new_one_holds_and_the_old_one_does_not(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        response = await as_customer.post("/auth/password", json=self.CHANGE)

        assert (response.status_code, response.content) == (204, b"")
        assert_refused(await sign_in(as_customer), 401)
        assert (await sign_in(as_customer, password=NEW_PASSWORD)).status_code == 200
        stored = await password_hash(session, customer)
        assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert stored != PASSWORD_HASH

    async def test_revokes_the_other_sessions_but_not_this_one_nor_keys_nor_those_of_others(
        self,
        as_customer: AsyncClient,
        as_other_customer: AsyncClient,
        client: AsyncClient,
        customer: User,
        session: AsyncSession,
    ) -> None:
        sessions = [(await a_token(session, customer))[0] for _ in range(2)]
        key, _ = await a_token(session, customer, TokenKind.KEY)

        await as_customer.post("/auth/password", json=self.CHANGE)

        for secret in sessions:
            assert_refused(await client.get("/users/me", headers=bearer(secret)), 401)
        assert (await as_customer.get("/users/me")).status_code == 200
        assert (await client.get("/users/me", headers=bearer(key))).status_code == 200
        assert (await as_other_customer.get("/users/me")).status_code == 200
        assert len(await tokens_of(session, customer)) == 2

    async def test_the_current_one_must_be_right(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        other, _ = await a_token(session, customer)

        response = await as_customer.post("/auth/password", json={**self.CHANGE, "current_password": NEW_PASSWORD})

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
    async def test_bad_input_is_refused(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, changes: dict[str, Any], field: str
    ) -> None:
        response = await as_customer.post("/auth/password", json={**self.CHANGE, **changes})

        assert_refused(response, 422, field)
        assert PASSWORD not in response.text
        assert await password_hash(session, customer) == PASSWORD_HASH

    async def test_nobody_has_none(self, client: AsyncClient) -> None:
        assert_refused(await client.post("/auth/password", json=self.CHANGE), 401)

    async def test_of_two_at_once_one_is_done(
        self, connect: Connect, client: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        first, second = await connect(customer), await connect(customer)
        changes = [{**self.CHANGE, "new_password": f"{NEW_PASSWORD}{n}"} for n in range(2)]

        responses = await asyncio.gather(
            *(own.post("/auth/password", json=change) for own, change in zip((first, second), changes, strict=True))
        )

        done = [response.status_code == 204 for response in responses]
        assert sorted(done) == [False, True]
        assert {response.status_code for response in responses} <= {204, 401, 403, 503}
        now = [(await sign_in(client, password=change["new_password"])).status_code == 200 for change in changes]
        assert now == done

    async def test_neither_password_is_logged(self, as_customer: AsyncClient, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG):
            await as_customer.post("/auth/password", json=self.CHANGE)

        assert PASSWORD not in caplog.text
        assert NEW_PASSWORD not in caplog.text


class TestListKeys:
    async def test_ones_own_by_name_and_prefix_the_newest_first(
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

    async def test_nobody_has_any(self, client: AsyncClient) -> None:
        assert_refused(await client.get("/auth/keys"), 401)

    async def test_sessions_are_no_keys_and_a_page_beyond_the_end_is_empty(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        assert (await as_customer.get("/auth/keys")).json()["total"] == 0
        await a_token(session, customer, TokenKind.KEY)

        page = (await as_customer.get("/auth/keys", params={"page": 1_000_000})).json()

        assert (page["items"], page["total"], page["has_next"]) == ([], 1, False)

    @pytest.mark.parametrize("size", [1, 20])
    async def test_takes_three_statements_whatever_the_size(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, database: Database, size: int
    ) -> None:
        for _ in range(size):
            await a_token(session, customer, TokenKind.KEY)

        with count_statements(database) as statements:
            response = await as_customer.get("/auth/keys", params={"page_size": 100})
        assert len(response.json()["items"]) == size
        assert len(statements) == 3


class TestCreateKey:
    async def test_is_shown_once_and_works(
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

    async def test_lasts_ninety_days_unless_told(self, as_customer: AsyncClient) -> None:
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
    async def test_bad_input_is_refused(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, changes: dict[str, Any], field: str
    ) -> None:
        assert_refused(await as_customer.post("/auth/keys", json={"name": "Sync", **changes}), 422, field)
        assert [token.kind for token in await tokens_of(session, customer)] == [TokenKind.SESSION]

    async def test_nobody_makes_one(self, client: AsyncClient, session: AsyncSession) -> None:
        assert_refused(await client.post("/auth/keys", json={"name": "Sync"}), 401)
        assert (await session.exec(select(Token))).all() == []


class TestRevokeKey:
    async def test_stops_it_at_once(
        self, as_customer: AsyncClient, client: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        secret, token = await a_token(session, customer, TokenKind.KEY)
        kept, _ = await a_token(session, customer, TokenKind.KEY)

        assert (await as_customer.delete(f"/auth/keys/{token.id}")).status_code == 204

        assert_refused(await client.get("/users/me", headers=bearer(secret)), 401)
        assert (await client.get("/users/me", headers=bearer(kept))).status_code == 200
        assert_refused(await as_customer.delete(f"/auth/keys/{token.id}"), 404)

    async def test_those_of_others_do_not_exist_not_even_for_staff(
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

    async def test_a_session_is_no_key(self, as_customer: AsyncClient, customer: User, session: AsyncSession) -> None:
        (token,) = await tokens_of(session, customer)

        assert_refused(await as_customer.delete(f"/auth/keys/{token.id}"), 404)
        assert (await as_customer.get("/users/me")).status_code == 200

    async def test_of_two_at_once_one_finds_it_gone(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        for _ in range(5):
            _, token = await a_token(session, customer, TokenKind.KEY)
            responses = await asyncio.gather(*(as_customer.delete(f"/auth/keys/{token.id}") for _ in range(2)))
            assert sorted(response.status_code for response in responses) == [204, 404]

    @pytest.mark.parametrize("key_id", ["0", str(MAX_ID + 1), "9" * 4_000, "one"], ids=lambda value: value[:25])
    async def test_what_cannot_be_an_id_is_refused(self, as_customer: AsyncClient, key_id: str) -> None:
        assert_refused(await as_customer.delete(f"/auth/keys/{key_id}"), 422, "path.id")
