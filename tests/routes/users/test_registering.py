"""Registering: one user by anyone, many users by staff."""

import asyncio
import logging
import re
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from tests.factories import a_user
from tests.routes.users.support import NEWCOMER, USER_FIELDS
from tests.rules.users import count_users, stored_user
from tests.support import PASSWORD, PASSWORD_HASH, assert_refused, count_statements


def new_members(how_many: int) -> list[dict[str, Any]]:
    """The body of a request that registers so many users."""
    return [
        {"username": f"member_{number}", "email": f"member_{number}@example.com", "password": PASSWORD}
        for number in range(how_many)
    ]


class TestRegister:
    async def test_anyone_can_register_as_a_customer(self, client: AsyncClient, session: AsyncSession) -> None:
        new = {**NEWCOMER, "full_name": "  New Comer ", "bio": "Hello."}

        response = await client.post("/users", json=new)

        assert response.status_code == 201
        assert response.json().keys() == USER_FIELDS
        user = await stored_user(session, response.json()["id"])
        assert (user.username, user.email) == ("newcomer", "newcomer@example.com")
        assert (user.full_name, user.bio) == ("New Comer", "Hello.")
        assert (user.is_active, user.is_superuser, user.last_login_at) == (True, False, None)

    async def test_optional_fields_that_are_absent_are_null(self, client: AsyncClient) -> None:
        body = (await client.post("/users", json={**NEWCOMER, "bio": None})).json()

        assert (body["full_name"], body["bio"]) == (None, None)

    @pytest.mark.usefixtures("costs_of_the_shop")
    async def test_a_password_is_hashed_with_argon2id_and_the_minimum_parameters_of_owasp(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        hashes = []
        for name in ("first", "second"):
            new = {**NEWCOMER, "username": name, "email": f"{name}@example.com"}
            response = await client.post("/users", json=new)
            hashes.append((await stored_user(session, response.json()["id"])).hashed_password)

        first, second = hashes

        assert re.fullmatch(r"\$argon2id\$v=19\$m=19456,t=2,p=1\$[^$]{22}\$[^$]{43}", first)
        assert first != second

    async def test_a_password_appears_in_no_response_and_no_log(
        self, client: AsyncClient, session: AsyncSession, caplog: pytest.LogCaptureFixture
    ) -> None:
        secret = "Xyzzy-4711-Plugh"
        with caplog.at_level(logging.DEBUG):
            answers = [
                await client.post("/users", json={**NEWCOMER, "password": secret}),
                await client.post("/users", json={**NEWCOMER, "password": secret}),
                await client.post("/users", json={**NEWCOMER, "password": secret, "username": "?"}),
                await client.post("/users", json={**NEWCOMER, "password": [secret]}),
                await client.post("/users", json={**NEWCOMER, "password": secret.lower()}),
                await client.post("/users", content=f'{{"password": "{secret}"', headers={"Content-Type": "a/json"}),
            ]

        assert [answer.status_code for answer in answers] == [201, 409, 422, 422, 422, 422]
        seen = (caplog.text + "".join(answer.text for answer in answers)).lower()
        assert secret.lower() not in seen
        assert "$argon2" not in "".join(answer.text for answer in answers)

    @pytest.mark.parametrize("password", ["SecurePass123", " Spaces 1 ", "Ünïcödé1A", "A1" * 64, "日本語パスワA1"])
    async def test_a_password_is_used_exactly_as_it_was_sent(self, client: AsyncClient, password: str) -> None:
        await client.post("/users", json={**NEWCOMER, "password": password})

        right = await client.post("/auth/token", data={"username": "newcomer", "password": password})
        wrong = await client.post("/auth/token", data={"username": "newcomer", "password": f"{password[:-1]}?"})

        assert (right.status_code, wrong.status_code) == (200, 401)

    @pytest.mark.parametrize(
        "password", ["", "Short1A", "A1" * 64 + "x", "lowercase123", "NoDigitsHere", "12345678", "        ", 12345678]
    )
    async def test_a_weak_password_is_refused(self, client: AsyncClient, session: AsyncSession, password: Any) -> None:
        response = await client.post("/users", json={**NEWCOMER, "password": password})

        assert_refused(response, 422, "body.password")
        assert await count_users(session) == 0

    @pytest.mark.parametrize("username", ["abc", "x" * 50, "a_1", "___", "123"])
    async def test_a_username_of_letters_digits_and_underscores_is_accepted(
        self, client: AsyncClient, username: str
    ) -> None:
        assert (await client.post("/users", json={**NEWCOMER, "username": username})).json()["username"] == username

    async def test_a_username_that_another_user_has_is_refused(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        await a_user(session, "newcomer", email="other@example.com")

        assert_refused(await client.post("/users", json=NEWCOMER), 409, "A user with this username already exists.")
        assert await count_users(session) == 1

    @pytest.mark.parametrize("email", ["newcomer@example.com", "NewComer@Example.COM", " newcomer@example.com "])
    async def test_an_email_that_another_user_has_is_refused_in_any_case(
        self, client: AsyncClient, session: AsyncSession, email: str
    ) -> None:
        await a_user(session, "other", email="newcomer@example.com")

        response = await client.post("/users", json={**NEWCOMER, "email": email})

        assert_refused(response, 409, "A user with this email already exists.")
        assert await count_users(session) == 1

    async def test_an_email_is_stored_in_lower_case(self, client: AsyncClient, session: AsyncSession) -> None:
        response = await client.post("/users", json={**NEWCOMER, "email": "New.Comer+Shop@Example.COM"})

        assert response.json()["email"] == "new.comer+shop@example.com"
        assert (await stored_user(session, response.json()["id"])).email == "new.comer+shop@example.com"

    async def test_one_of_many_simultaneous_registrations_gets_the_username(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        responses = await asyncio.gather(*(client.post("/users", json=NEWCOMER) for _ in range(5)))

        assert sorted(response.status_code for response in responses) == [201, 409, 409, 409, 409]
        assert await count_users(session) == 1

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"username": "ab"}, "body.username"),
            ({"username": "x" * 51}, "body.username"),
            ({"username": "a b"}, "body.username"),
            ({"username": "erased-1"}, "body.username"),
            ({"username": "josé"}, "body.username"),
            ({"username": "a\0bc"}, "body.username"),
            ({"username": None}, "body.username"),
            ({"username": 12345}, "body.username"),
            ({"email": "nobody"}, "body.email"),
            ({"email": "a@b@example.com"}, "body.email"),
            ({"email": "a\0@example.com"}, "body.email"),
            ({"email": f"{'x' * 64}@{'y' * 63}.{'z' * 63}.{'z' * 63}.example.com"}, "body.email"),
            ({"email": None}, "body.email"),
            ({"password": None}, "body.password"),
            ({"password": "Secure\0Pass123"}, "body.password"),
            ({"full_name": "x" * 101}, "body.full_name"),
            ({"full_name": "\0"}, "body.full_name"),
            ({"full_name": 1}, "body.full_name"),
            ({"bio": "x" * 501}, "body.bio"),
            ({"bio": ["Hello"]}, "body.bio"),
            ({"is_superuser": True}, "body.is_superuser"),
            ({"is_active": False}, "body.is_active"),
            ({"id": 7}, "body.id"),
            ({"hashed_password": PASSWORD_HASH}, "body.hashed_password"),
            ({"created_at": "2020-01-01T00:00:00Z"}, "body.created_at"),
            ({"colour": "red"}, "body.colour"),
        ],
        ids=lambda value: str(value)[:40],
    )
    async def test_an_invalid_field_is_refused_and_named(
        self, client: AsyncClient, session: AsyncSession, changes: dict[str, Any], field: str
    ) -> None:
        response = await client.post("/users", json={**NEWCOMER, **changes})

        assert_refused(response, 422, field)
        assert [error["field"] for error in response.json()["errors"]] == [field]
        assert await count_users(session) == 0

    async def test_white_space_around_a_username_is_dropped(self, client: AsyncClient) -> None:
        assert (await client.post("/users", json={**NEWCOMER, "username": "name\n"})).json()["username"] == "name"

    @pytest.mark.parametrize("missing", ["username", "email", "password"])
    async def test_a_missing_field_is_refused_and_named(self, client: AsyncClient, missing: str) -> None:
        response = await client.post("/users", json={key: value for key, value in NEWCOMER.items() if key != missing})

        assert_refused(response, 422, f"body.{missing}")

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"{",
            b"null",
            b"[]",
            b"7",
            b'{"username": "\\ud800bc", "email": "a@example.com", "password": "SecurePass123"}',
            b'{"username": "abc", "email": "a@example.com", "password": "SecurePass123\\udfff"}',
            b'{"username": "abc", "email": "a@example.com", "password": "SecurePass123", "\\ud800": 1}',
            b'{"username": NaN}',
        ],
        ids=lambda body: repr(body[:50]),
    )
    async def test_a_body_that_is_not_a_user_is_refused(
        self, client: AsyncClient, session: AsyncSession, body: bytes
    ) -> None:
        response = await client.post("/users", content=body, headers={"Content-Type": "application/json"})

        assert_refused(response, 422, "body")
        assert await count_users(session) == 0

    @pytest.mark.parametrize(
        "body", [b'{"username": "\xff"}', b"[" * 100_000], ids=["invalid UTF-8", "too deeply nested"]
    )
    async def test_a_body_that_cannot_be_parsed_is_refused(self, client: AsyncClient, body: bytes) -> None:
        response = await client.post("/users", content=body, headers={"Content-Type": "application/json"})

        assert response.status_code in {400, 422}
        assert response.json()["status"] == response.status_code


class TestCreateUsers:
    async def test_staff_can_register_many_users(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        response = await as_staff.post("/users/bulk", json=new_members(3))

        assert response.status_code == 201
        assert [each["username"] for each in response.json()] == ["member_0", "member_1", "member_2"]
        assert all(each.keys() == USER_FIELDS for each in response.json())
        for each in response.json():
            user = await stored_user(session, each["id"])
            assert (user.username, user.is_superuser) == (each["username"], False)
            assert user.hashed_password.startswith("$argon2id$")

    async def test_callers_other_than_staff_are_refused(
        self, client: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        assert_refused(await client.post("/users/bulk", json=new_members(1)), 401)
        assert_refused(await as_customer.post("/users/bulk", json=new_members(1)), 403)
        assert await count_users(session) == 1

    @pytest.mark.parametrize(
        ("changes", "other"),
        [
            ({"username": "existing"}, "user {existing}, which is inactive"),
            ({"email": "EXISTING@example.com"}, "user {existing}, which is inactive"),
            ({"username": "member_0"}, "that of body.0.username"),
            ({"email": "Member_0@example.com"}, "that of body.0.email"),
        ],
        ids=str,
    )
    async def test_one_duplicate_is_named_and_no_user_is_registered(
        self, as_staff: AsyncClient, session: AsyncSession, changes: dict[str, str], other: str
    ) -> None:
        existing = await a_user(session, "existing", is_active=False)
        users = new_members(3)
        users[1] |= changes

        response = await as_staff.post("/users/bulk", json=users)

        (changed,) = changes
        refusal = f"body.1.{changed}: A user with this {changed} already exists. It is {other}."
        assert_refused(response, 409, refusal.format(existing=existing.id))
        assert await count_users(session) == 2

    @pytest.mark.parametrize(
        ("changes", "named"),
        [
            ({"username": "?"}, "body.2.username"),
            ({"password": "weak"}, "body.2.password"),
            ({"is_superuser": True}, "body.2.is_superuser"),
            ({"full_name": "\0"}, "body.2.full_name"),
        ],
        ids=str,
    )
    async def test_one_invalid_user_is_named_and_no_user_is_registered(
        self, as_staff: AsyncClient, session: AsyncSession, changes: dict[str, Any], named: str
    ) -> None:
        users = new_members(3)
        users[2] |= changes

        assert_refused(await as_staff.post("/users/bulk", json=users), 422, named)
        assert await count_users(session) == 1

    @pytest.mark.parametrize("how_many", [0, 101])
    async def test_an_empty_list_and_more_than_a_hundred_users_are_refused(
        self, as_staff: AsyncClient, session: AsyncSession, how_many: int
    ) -> None:
        assert_refused(await as_staff.post("/users/bulk", json=new_members(how_many)), 422, "body")
        assert await count_users(session) == 1

    async def test_one_user_instead_of_a_list_is_refused(self, as_staff: AsyncClient) -> None:
        assert_refused(await as_staff.post("/users/bulk", json=NEWCOMER), 422, "body")

    @pytest.mark.parametrize("size", [1, 20])
    async def test_a_list_of_any_length_takes_one_select(
        self, as_staff: AsyncClient, database: Database, size: int
    ) -> None:
        with count_statements(database) as statements:
            assert (await as_staff.post("/users/bulk", json=new_members(size))).status_code == 201
        assert sum(statement.startswith("SELECT") for statement in statements) == 1  # the token
