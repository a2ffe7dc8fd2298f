"""/users: registering, one's own row, and what staff do with everybody's."""

import asyncio
import logging
import re
from collections.abc import Callable, Coroutine
from datetime import timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import httpx
import pytest
from httpx import AsyncClient
from sqlmodel import SQLModel, col, delete, func, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.commands.verify import verify
from api.database.sessions import Database
from api.models.account import Account, ShopAccount
from api.models.base import utcnow
from api.models.idempotency_key import IdempotencyKey
from api.models.notification import Notification, NotificationKind
from api.models.order import Order, OrderStatus
from api.models.order_event import OrderEvent
from api.models.post import Post, PostStatus
from api.models.tag import PostTag, Tag
from api.models.token import Token, TokenKind
from api.models.transaction import Transaction
from api.models.types import MAX_ID
from api.models.user import User
from api.rules import ledger
from tests.conftest import Connect
from tests.databases import Backend
from tests.support import PASSWORD, PASSWORD_HASH, assert_refused, count_statements, save

SHOWN = {
    "id",
    "username",
    "email",
    "full_name",
    "bio",
    "is_active",
    "is_superuser",
    "last_login_at",
    "created_at",
    "updated_at",
}
NO_IDS = ["0", "-1", str(MAX_ID + 1), "9" * 4_000, "9" * 5_000, "one", "1.5", "%00"]
NEW = {"username": "newcomer", "email": "newcomer@example.com", "password": PASSWORD}

numbers = count(1)


async def a_user(session: AsyncSession, username: str | None = None, **fields: Any) -> User:
    username = username or f"user_{next(numbers)}"
    fields = {"email": f"{username}@example.com", "hashed_password": PASSWORD_HASH, **fields}
    user = User(username=username, **fields)
    await save(session, user)
    return user


async def an_order(session: AsyncSession, user: User, total: str = "10.00", **fields: Any) -> Order:
    order = Order(user_id=user.id, total_amount=Decimal(total), **fields)
    await save(session, order)
    return order


async def a_post(session: AsyncSession, author: User, title: str = "Ten headphones", **fields: Any) -> Post:
    post = Post(author_id=author.id, title=title, slug=f"post-{next(numbers)}", content="We listened.", **fields)
    await save(session, post)
    return post


async def store_credit(session: AsyncSession, user: User, amount: str | None = None) -> Account:
    """Give a user an account and, where an amount is given, a transaction to it."""
    account = Account(name=f"Store credit {user.id}", user_id=user.id)
    await save(session, account)
    if amount is not None:
        issued = (await session.exec(select(Account).where(Account.name == ShopAccount.ISSUED.value))).one()
        moved = Transaction(from_account_id=issued.id, to_account_id=account.id, amount=Decimal(amount))
        await save(session, moved)
    return account


async def belongings(session: AsyncSession, user: User) -> None:
    """Give a user one row of everything that goes with its user."""
    token = Token(
        user_id=user.id,
        kind=TokenKind.KEY,
        name="Key",
        prefix="shop_",
        token_hash=f"hash-{next(numbers)}",
        expires_at=utcnow() + timedelta(days=1),
    )
    notification = Notification(user_id=user.id, kind=NotificationKind.CREDIT_RECEIVED, message="Here.")
    key = IdempotencyKey(user_id=user.id, route="POST /orders", key="k", fingerprint="f" * 64)
    await save(session, token, notification, key)
    await a_post(session, user, status=PostStatus.PUBLISHED)


async def count_rows(session: AsyncSession, model: type[SQLModel], *conditions: Any) -> int:
    return int((await session.exec(select(func.count()).select_from(model).where(*conditions))).one())


async def count_belongings(session: AsyncSession, user: User) -> list[int]:
    owners: dict[type[SQLModel], Any] = {Token: Token.user_id, Notification: Notification.user_id}
    owners |= {IdempotencyKey: IdempotencyKey.user_id, Post: Post.author_id}
    return [await count_rows(session, model, owner == user.id) for model, owner in owners.items()]


async def stored(session: AsyncSession, user_id: int) -> User:
    user = await session.get(User, user_id)
    assert isinstance(user, User)
    return user


def usernames(response: httpx.Response) -> list[str]:
    return [item["username"] for item in response.json()["items"]]


def assert_anonymous(user: User) -> None:
    assert (user.username, user.email) == (f"erased-{user.id}", f"erased-{user.id}")
    assert (user.full_name, user.bio, user.last_login_at, user.hashed_password) == (None, None, None, "")
    assert not user.is_active
    assert not user.is_superuser
    assert user.erased_at is not None


class TestRegister:
    async def test_anyone_registers_as_a_customer(self, client: AsyncClient, session: AsyncSession) -> None:
        new = {**NEW, "full_name": "  New Comer ", "bio": "Hello."}

        response = await client.post("/users", json=new)

        assert response.status_code == 201
        assert response.json().keys() == SHOWN
        user = await stored(session, response.json()["id"])
        assert (user.username, user.email) == ("newcomer", "newcomer@example.com")
        assert (user.full_name, user.bio) == ("New Comer", "Hello.")
        assert (user.is_active, user.is_superuser, user.last_login_at) == (True, False, None)

    async def test_what_may_be_absent_is_null(self, client: AsyncClient) -> None:
        body = (await client.post("/users", json={**NEW, "bio": None})).json()

        assert (body["full_name"], body["bio"]) == (None, None)

    async def test_the_password_is_hashed_with_argon2id_at_owasps_floor(
        self, client: AsyncClient, session: AsyncSession
    ) -> None:
        ids = [
            (await client.post("/users", json={**NEW, "username": name, "email": f"{name}@example.com"})).json()["id"]
            for name in ("first", "second")
        ]

        first, second = [(await stored(session, user_id)).hashed_password for user_id in ids]

        assert re.fullmatch(r"\$argon2id\$v=19\$m=19456,t=2,p=1\$[^$]{22}\$[^$]{43}", first)
        assert first != second

    async def test_the_password_is_in_no_answer_and_no_log(
        self, client: AsyncClient, session: AsyncSession, caplog: pytest.LogCaptureFixture
    ) -> None:
        secret = "Xyzzy-4711-Plugh"
        with caplog.at_level(logging.DEBUG):
            answers = [
                await client.post("/users", json={**NEW, "password": secret}),
                await client.post("/users", json={**NEW, "password": secret}),
                await client.post("/users", json={**NEW, "password": secret, "username": "?"}),
                await client.post("/users", json={**NEW, "password": [secret]}),
                await client.post("/users", json={**NEW, "password": secret.lower()}),
                await client.post("/users", content=f'{{"password": "{secret}"', headers={"Content-Type": "a/json"}),
            ]

        assert [answer.status_code for answer in answers] == [201, 409, 422, 422, 422, 422]
        seen = (caplog.text + "".join(answer.text for answer in answers)).lower()
        assert secret.lower() not in seen
        assert "$argon2" not in "".join(answer.text for answer in answers)

    @pytest.mark.parametrize("password", ["SecurePass123", " Spaces 1 ", "Ünïcödé1A", "A1" * 64, "日本語パスワA1"])
    async def test_the_password_is_taken_as_it_is(self, client: AsyncClient, password: str) -> None:
        await client.post("/users", json={**NEW, "password": password})

        right = await client.post("/auth/token", data={"username": "newcomer", "password": password})
        wrong = await client.post("/auth/token", data={"username": "newcomer", "password": f"{password[:-1]}?"})

        assert (right.status_code, wrong.status_code) == (200, 401)

    @pytest.mark.parametrize(
        "password", ["", "Short1A", "A1" * 64 + "x", "lowercase123", "NoDigitsHere", "12345678", "        ", 12345678]
    )
    async def test_a_weak_password_is_refused(self, client: AsyncClient, session: AsyncSession, password: Any) -> None:
        response = await client.post("/users", json={**NEW, "password": password})

        assert_refused(response, 422, "body.password")
        assert await count_rows(session, User) == 0

    @pytest.mark.parametrize("username", ["abc", "x" * 50, "A_1", "___", "123"])
    async def test_usernames_are_letters_digits_and_underscores(self, client: AsyncClient, username: str) -> None:
        assert (await client.post("/users", json={**NEW, "username": username})).json()["username"] == username

    async def test_a_username_is_unique(self, client: AsyncClient, session: AsyncSession) -> None:
        await a_user(session, "newcomer", email="other@example.com")

        assert_refused(await client.post("/users", json=NEW), 409, "username is already taken")
        assert await count_rows(session, User) == 1

    @pytest.mark.parametrize("email", ["newcomer@example.com", "NewComer@Example.COM", " newcomer@example.com "])
    async def test_an_email_is_unique_whatever_its_case(
        self, client: AsyncClient, session: AsyncSession, email: str
    ) -> None:
        await a_user(session, "other", email="newcomer@example.com")

        assert_refused(await client.post("/users", json={**NEW, "email": email}), 409, "email is already taken")
        assert await count_rows(session, User) == 1

    async def test_an_email_is_kept_in_lower_case(self, client: AsyncClient, session: AsyncSession) -> None:
        response = await client.post("/users", json={**NEW, "email": "New.Comer+Shop@Example.COM"})

        assert response.json()["email"] == "new.comer+shop@example.com"
        assert (await stored(session, response.json()["id"])).email == "new.comer+shop@example.com"

    async def test_of_many_at_once_one_gets_the_name(self, client: AsyncClient, session: AsyncSession) -> None:
        responses = await asyncio.gather(*(client.post("/users", json=NEW) for _ in range(5)))

        assert sorted(response.status_code for response in responses) == [201, 409, 409, 409, 409]
        assert await count_rows(session, User) == 1

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"username": "ab"}, "body.username"),
            ({"username": "x" * 51}, "body.username"),
            ({"username": "a b"}, "body.username"),
            ({"username": "erased-1"}, "body.username"),
            ({"username": "josé"}, "body.username"),
            ({"username": "name\n"}, None),
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
    async def test_bad_input_is_refused(
        self, client: AsyncClient, session: AsyncSession, changes: dict[str, Any], field: str | None
    ) -> None:
        response = await client.post("/users", json={**NEW, **changes})

        if field is None:  # white space around it is dropped
            assert response.json()["username"] == changes["username"].strip()
            return
        assert_refused(response, 422, field)
        assert [error["field"] for error in response.json()["errors"]] == [field]
        assert await count_rows(session, User) == 0

    @pytest.mark.parametrize("missing", ["username", "email", "password"])
    async def test_what_must_be_there_is_named(self, client: AsyncClient, missing: str) -> None:
        response = await client.post("/users", json={key: value for key, value in NEW.items() if key != missing})

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
    async def test_a_body_that_is_no_user_is_refused(
        self, client: AsyncClient, session: AsyncSession, body: bytes
    ) -> None:
        response = await client.post("/users", content=body, headers={"Content-Type": "application/json"})

        assert_refused(response, 422, "body")
        assert await count_rows(session, User) == 0

    @pytest.mark.parametrize("body", [b'{"username": "\xff"}', b"[" * 100_000], ids=["no UTF-8", "too deep"])
    async def test_a_body_that_cannot_be_parsed_is_refused(self, client: AsyncClient, body: bytes) -> None:
        response = await client.post("/users", content=body, headers={"Content-Type": "application/json"})

        assert response.status_code in {400, 422}
        assert response.json()["status"] == response.status_code


class TestCreateUsers:
    @staticmethod
    def some(how_many: int) -> list[dict[str, Any]]:
        return [
            {"username": f"member_{n}", "email": f"member_{n}@example.com", "password": PASSWORD}
            for n in range(how_many)
        ]

    async def test_staff_register_many(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        response = await as_staff.post("/users/bulk", json=self.some(3))

        assert response.status_code == 201
        assert [each["username"] for each in response.json()] == ["member_0", "member_1", "member_2"]
        assert all(each.keys() == SHOWN for each in response.json())
        for each in response.json():
            user = await stored(session, each["id"])
            assert (user.username, user.is_superuser) == (each["username"], False)
            assert user.hashed_password.startswith("$argon2id$")

    async def test_nobody_else_does(self, client: AsyncClient, as_customer: AsyncClient, session: AsyncSession) -> None:
        assert_refused(await client.post("/users/bulk", json=self.some(1)), 401)
        assert_refused(await as_customer.post("/users/bulk", json=self.some(1)), 403)
        assert await count_rows(session, User) == 1

    @pytest.mark.parametrize(
        ("changes", "named"),
        [
            ({"username": "taken"}, "body.1.username"),
            ({"email": "TAKEN@example.com"}, "body.1.email"),
            ({"username": "member_0"}, "body.1.username"),
            ({"email": "Member_0@example.com"}, "body.1.email"),
        ],
    )
    async def test_where_one_is_taken_none_is_registered_and_that_one_is_named(
        self, as_staff: AsyncClient, session: AsyncSession, changes: dict[str, str], named: str
    ) -> None:
        await a_user(session, "taken")
        users = self.some(3)
        users[1] |= changes

        assert_refused(await as_staff.post("/users/bulk", json=users), 409, f"{named} is already taken")
        assert await count_rows(session, User) == 2

    @pytest.mark.parametrize(
        ("changes", "named"),
        [
            ({"username": "?"}, "body.2.username"),
            ({"password": "weak"}, "body.2.password"),
            ({"is_superuser": True}, "body.2.is_superuser"),
            ({"full_name": "\0"}, "body.2.full_name"),
        ],
    )
    async def test_where_one_is_wrong_none_is_registered_and_that_one_is_named(
        self, as_staff: AsyncClient, session: AsyncSession, changes: dict[str, Any], named: str
    ) -> None:
        users = self.some(3)
        users[2] |= changes

        assert_refused(await as_staff.post("/users/bulk", json=users), 422, named)
        assert await count_rows(session, User) == 1

    @pytest.mark.parametrize("how_many", [0, 101])
    async def test_from_one_to_a_hundred(self, as_staff: AsyncClient, session: AsyncSession, how_many: int) -> None:
        assert_refused(await as_staff.post("/users/bulk", json=self.some(how_many)), 422, "body")
        assert await count_rows(session, User) == 1

    async def test_one_user_is_no_list(self, as_staff: AsyncClient) -> None:
        assert_refused(await as_staff.post("/users/bulk", json=NEW), 422, "body")

    @pytest.mark.parametrize("size", [1, 20])
    async def test_asks_twice_whatever_the_size(self, as_staff: AsyncClient, database: Database, size: int) -> None:
        with count_statements(database) as statements:
            assert (await as_staff.post("/users/bulk", json=self.some(size))).status_code == 201
        assert sum(statement.startswith("SELECT") for statement in statements) == 2  # the token, who is taken


class TestListUsers:
    async def test_staff_list_everybody_the_newest_first(
        self, as_staff: AsyncClient, customer: User, other_customer: User
    ) -> None:
        response = await as_staff.get("/users")

        assert usernames(response) == ["other_customer", "customer", "staff"]
        assert response.json()["total"] == 3
        assert all(item.keys() == SHOWN for item in response.json()["items"])

    async def test_nobody_else_does(self, client: AsyncClient, as_customer: AsyncClient) -> None:
        assert_refused(await client.get("/users"), 401)
        assert_refused(await as_customer.get("/users"), 403, "Only staff")

    async def test_only_active_or_only_inactive_ones(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        await a_user(session, "gone", is_active=False)

        assert usernames(await as_staff.get("/users", params={"is_active": True})) == ["staff"]
        assert usernames(await as_staff.get("/users", params={"is_active": False})) == ["gone"]

    @pytest.mark.parametrize("search", ["LICE", "alice@", "Élise", "éLISE", "a_l"])
    async def test_search_finds_a_part_of_the_username_the_email_or_the_full_name(
        self, as_staff: AsyncClient, session: AsyncSession, search: str
    ) -> None:
        await a_user(session, "Alice_a_l", email="alice@example.org", full_name="Élise A.")
        await a_user(session, "axl", full_name="Elise")

        assert usernames(await as_staff.get("/users", params={"search": search})) == ["Alice_a_l"]

    async def test_filters_combine(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        await a_user(session, "alice_1", is_active=False)
        await a_user(session, "alice_2")
        await a_user(session, "bob_1", is_active=False)

        response = await as_staff.get("/users", params={"search": "alice", "is_active": False})

        assert (usernames(response), response.json()["total"]) == (["alice_1"], 1)

    async def test_in_pages(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        for _ in range(4):
            await a_user(session)

        pages = [(await as_staff.get("/users", params={"page": page, "page_size": 2})).json() for page in (1, 2, 3, 4)]

        ids = [item["id"] for page in pages for item in page["items"]]
        assert ids == sorted(ids, reverse=True)
        assert [len(page["items"]) for page in pages] == [2, 2, 1, 0]
        assert [page["has_next"] for page in pages] == [True, True, False, False]
        assert {(page["total"], page["total_pages"]) for page in pages} == {(5, 3)}

    async def test_by_cursor(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        for _ in range(4):
            await a_user(session)
        ids: list[int] = []
        cursor: str | None = ""
        while cursor is not None:
            page = (await as_staff.get("/users", params={"cursor": cursor, "page_size": 2})).json()
            ids += [item["id"] for item in page["items"]]
            cursor = page["next_cursor"]

        assert ids == sorted((await session.exec(select(User.id))).all(), reverse=True)

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ({"search": ""}, "query.search"),
            ({"search": "x" * 101}, "query.search"),
            ({"search": "\0"}, "query.search"),
            ({"is_active": "perhaps"}, "query.is_active"),
            ({"page": 0}, "query.page"),
            ({"page": "9" * 4_000}, "query.page"),
            ({"page": 1_000_001}, "query.page"),
            ({"page_size": 101}, "query.page_size"),
            ({"cursor": "nonsense"}, "query.cursor"),
        ],
        ids=lambda value: str(value)[:30],
    )
    async def test_a_bad_query_is_refused(self, as_staff: AsyncClient, query: dict[str, Any], field: str) -> None:
        assert_refused(await as_staff.get("/users", params=query), 422, field)

    @pytest.mark.parametrize("size", [1, 20])
    async def test_takes_three_statements_whatever_the_size(
        self, as_staff: AsyncClient, session: AsyncSession, database: Database, size: int
    ) -> None:
        for _ in range(size):
            await a_user(session)

        with count_statements(database) as statements:
            response = await as_staff.get("/users", params={"page_size": 100})
        assert len(response.json()["items"]) == size + 1
        assert len(statements) == 3  # the token, how many, which
        with count_statements(database) as statements:
            await as_staff.get("/users", params={"page_size": 100, "cursor": ""})
        assert len(statements) == 2


class TestSearchUsers:
    async def test_staff_find_users(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        await a_user(session, "alice", full_name="Alice B.")
        await a_user(session, "bob", email="bob.alice@example.com")
        await a_user(session, "carol", full_name="100% Carol")

        assert usernames(await as_staff.get("/users/search", params={"q": "ALICE"})) == ["bob", "alice"]
        assert usernames(await as_staff.get("/users/search", params={"q": "%"})) == ["carol"]
        assert usernames(await as_staff.get("/users/search", params={"q": "b_b"})) == []

    async def test_nobody_else_does(self, client: AsyncClient, as_customer: AsyncClient) -> None:
        assert_refused(await client.get("/users/search", params={"q": "a"}), 401)
        assert_refused(await as_customer.get("/users/search", params={"q": "a"}), 403)

    @pytest.mark.parametrize("query", [{}, {"q": ""}, {"q": "\0"}, {"q": "x" * 101}])
    async def test_a_bad_query_is_refused(self, as_staff: AsyncClient, query: dict[str, str]) -> None:
        assert_refused(await as_staff.get("/users/search", params=query), 422, "query.q")

    @pytest.mark.parametrize("size", [1, 20])
    async def test_takes_three_statements_whatever_the_size(
        self, as_staff: AsyncClient, session: AsyncSession, database: Database, size: int
    ) -> None:
        for _ in range(size):
            await a_user(session)

        with count_statements(database) as statements:
            await as_staff.get("/users/search", params={"q": "user", "page_size": 100})
        assert len(statements) == 3


class TestReadMe:
    async def test_one_reads_oneself(self, as_customer: AsyncClient, customer: User, database: Database) -> None:
        with count_statements(database) as statements:
            response = await as_customer.get("/users/me")

        assert response.json().keys() == SHOWN
        assert (response.json()["id"], response.json()["username"]) == (customer.id, "customer")
        assert len(statements) == 1

    async def test_nobody_is_nobody(self, client: AsyncClient) -> None:
        assert_refused(await client.get("/users/me"), 401)


class TestUpdateMe:
    async def test_changes_only_what_is_sent(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await as_customer.patch("/users/me", json={"full_name": "C. Ustomer", "bio": "Hello."})

        response = await as_customer.patch("/users/me", json={"bio": None, "email": "New@Example.com"})

        assert response.status_code == 200
        user = await stored(session, customer.id)
        assert (user.username, user.email) == ("customer", "new@example.com")
        assert (user.full_name, user.bio) == ("C. Ustomer", None)
        assert user.hashed_password == PASSWORD_HASH
        assert (await as_customer.get("/users/me")).json() == response.json()

    async def test_of_nothing_changes_nothing(self, as_customer: AsyncClient) -> None:
        before = (await as_customer.get("/users/me")).json()

        assert (await as_customer.patch("/users/me", json={})).json() == before

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"username": None}, "body.username"),
            ({"email": None}, "body.email"),
            ({"email": "nobody"}, "body.email"),
            ({"bio": "x" * 501}, "body.bio"),
            ({"is_superuser": True}, "body.is_superuser"),
            ({"is_active": True}, "body.is_active"),
            ({"password": PASSWORD}, "body.password"),
        ],
        ids=str,
    )
    async def test_bad_input_is_refused(self, as_customer: AsyncClient, changes: dict[str, Any], field: str) -> None:
        assert_refused(await as_customer.patch("/users/me", json=changes), 422, field)

    @pytest.mark.parametrize(
        ("changes", "field"), [({"username": "staff"}, "username"), ({"email": "STAFF@example.com"}, "email")]
    )
    async def test_what_is_taken_is_refused(
        self, as_customer: AsyncClient, staff: User, changes: dict[str, str], field: str
    ) -> None:
        assert_refused(await as_customer.patch("/users/me", json=changes), 409, f"{field} is already taken")

    async def test_nobody_is_nobody(self, client: AsyncClient) -> None:
        assert_refused(await client.patch("/users/me", json={}), 401)

    async def test_while_one_is_erased(self, connect: Connect, as_staff: AsyncClient, session: AsyncSession) -> None:
        for number in range(10):
            user = await a_user(session)
            own = await connect(user)
            deleted, changed = await asyncio.gather(
                as_staff.delete(f"/users/{user.id}"), own.patch("/users/me", json={"bio": f"{number}"})
            )
            assert deleted.status_code == 204
            assert changed.status_code in {200, 401, 404}


class TestReadUserByEmail:
    @pytest.mark.parametrize("email", ["customer@example.com", "Customer@EXAMPLE.com"])
    async def test_staff_read_one_whatever_the_case(self, as_staff: AsyncClient, customer: User, email: str) -> None:
        assert (await as_staff.get(f"/users/by-email/{email}")).json()["id"] == customer.id

    async def test_nobody_else_does_not_even_their_own(self, client: AsyncClient, as_customer: AsyncClient) -> None:
        assert_refused(await client.get("/users/by-email/customer@example.com"), 401)
        assert_refused(await as_customer.get("/users/by-email/customer@example.com"), 403)

    @pytest.mark.parametrize("email", ["nobody@example.com", "%", "customer", "%ff", "%ED%A0%80"])
    async def test_one_that_does_not_exist_is_not_found(
        self, as_staff: AsyncClient, customer: User, email: str
    ) -> None:
        assert_refused(await as_staff.get(f"/users/by-email/{email}"), 404, "no such user")

    @pytest.mark.parametrize("email", ["a%00b", "x" * 301])
    async def test_what_cannot_be_one_is_refused(self, as_staff: AsyncClient, email: str) -> None:
        assert_refused(await as_staff.get(f"/users/by-email/{email}"), 422, "path.email")


class TestCountActiveUsers:
    async def test_staff_count_them(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession, database: Database
    ) -> None:
        await a_user(session, is_active=False)

        with count_statements(database) as statements:
            response = await as_staff.get("/users/stats/active-count")

        assert response.json() == {"total": 3, "active": 2, "inactive": 1}
        assert len(statements) == 2

    async def test_nobody_else_does(self, client: AsyncClient, as_customer: AsyncClient) -> None:
        assert_refused(await client.get("/users/stats/active-count"), 401)
        assert_refused(await as_customer.get("/users/stats/active-count"), 403)


class TestListTopSpenders:
    async def test_who_ordered_for_the_most_comes_first(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        some, most, same = [await a_user(session, name) for name in ("some", "most", "same")]
        await a_user(session, "without_orders")
        await an_order(session, some, "10.10")
        await an_order(session, same, "10.10", status=OrderStatus.DELIVERED)
        await an_order(session, most, "9999999999.99")
        await an_order(session, most, "9999999999.99", status=OrderStatus.SHIPPED)
        await an_order(session, some, "500.00", status=OrderStatus.CANCELLED)

        response = await as_staff.get("/users/stats/top-spenders")

        assert response.json() == [
            {"user": {"id": most.id, "username": "most"}, "orders": 2, "spent": "19999999999.98"},
            {"user": {"id": some.id, "username": "some"}, "orders": 1, "spent": "10.10"},
            {"user": {"id": same.id, "username": "same"}, "orders": 1, "spent": "10.10"},
        ]

    async def test_there_are_none_at_first(self, as_staff: AsyncClient) -> None:
        assert (await as_staff.get("/users/stats/top-spenders")).json() == []

    @pytest.mark.parametrize("size", [1, 20])
    async def test_as_many_as_asked_for_in_two_statements(
        self, as_staff: AsyncClient, session: AsyncSession, database: Database, size: int
    ) -> None:
        for _ in range(20):
            await an_order(session, await a_user(session))

        with count_statements(database) as statements:
            response = await as_staff.get("/users/stats/top-spenders", params={"limit": size})

        assert len(response.json()) == size
        assert len(statements) == 2

    async def test_nobody_else_does(self, client: AsyncClient, as_customer: AsyncClient) -> None:
        assert_refused(await client.get("/users/stats/top-spenders"), 401)
        assert_refused(await as_customer.get("/users/stats/top-spenders"), 403)

    @pytest.mark.parametrize("limit", [0, -1, 101, "many", 2**63])
    async def test_a_bad_limit_is_refused(self, as_staff: AsyncClient, limit: Any) -> None:
        assert_refused(await as_staff.get("/users/stats/top-spenders", params={"limit": limit}), 422, "query.limit")


class TestDeactivateIdleUsers:
    async def test_those_who_have_not_signed_in_for_so_long(
        self, as_staff: AsyncClient, connect: Connect, session: AsyncSession
    ) -> None:
        now = utcnow()
        idle = await a_user(session, last_login_at=now - timedelta(days=31))
        recent = await a_user(session, last_login_at=now - timedelta(days=29), created_at=now - timedelta(days=900))
        never = await a_user(session, created_at=now - timedelta(days=31))
        new = await a_user(session)
        employee = await a_user(session, is_superuser=True, last_login_at=now - timedelta(days=900))
        gone = await a_user(session, is_active=False, last_login_at=now - timedelta(days=900))
        as_idle, as_recent = await connect(idle), await connect(recent)

        response = await as_staff.patch("/users/bulk/deactivate", params={"days": 30})

        assert response.json() == {"changed": 2}
        active = {user.id: (await stored(session, user.id)).is_active for user in (idle, recent, never, new, employee)}
        assert active == {idle.id: False, recent.id: True, never.id: False, new.id: True, employee.id: True}
        assert not (await stored(session, gone.id)).is_active
        assert_refused(await as_idle.get("/users/me"), 401)
        assert (await as_recent.get("/users/me")).status_code == 200
        assert await count_rows(session, Token, Token.user_id == idle.id) == 0

    async def test_a_second_time_changes_nobody(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        await a_user(session, last_login_at=utcnow() - timedelta(days=31))

        changed = [(await as_staff.patch("/users/bulk/deactivate?days=30")).json()["changed"] for _ in range(2)]

        assert changed == [1, 0]

    async def test_nobody_but_staff_does(
        self, client: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        idle = await a_user(session, last_login_at=utcnow() - timedelta(days=31))

        assert_refused(await client.patch("/users/bulk/deactivate?days=30"), 401)
        assert_refused(await as_customer.patch("/users/bulk/deactivate?days=30"), 403)
        assert (await stored(session, idle.id)).is_active

    @pytest.mark.parametrize("query", [{}, {"days": 0}, {"days": -1}, {"days": 36_501}, {"days": "x"}, {"days": 2**70}])
    async def test_bad_days_are_refused(self, as_staff: AsyncClient, query: dict[str, Any]) -> None:
        assert_refused(await as_staff.patch("/users/bulk/deactivate", params=query), 422, "query.days")

    async def test_a_hundred_years_are_not_too_many(self, as_staff: AsyncClient, customer: User) -> None:
        assert (await as_staff.patch("/users/bulk/deactivate?days=36500")).json() == {"changed": 0}

    @pytest.mark.parametrize("size", [1, 20])
    async def test_takes_three_statements_whatever_the_size(
        self, as_staff: AsyncClient, session: AsyncSession, database: Database, size: int
    ) -> None:
        for _ in range(size):
            await a_user(session, last_login_at=utcnow() - timedelta(days=31))

        with count_statements(database) as statements:
            response = await as_staff.patch("/users/bulk/deactivate?days=30")
        assert response.json() == {"changed": size}
        assert len(statements) == 3


class TestEraseInactiveUsers:
    async def test_those_without_books_are_gone(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        plain = await a_user(session, is_active=False)
        with_account = await a_user(session, is_active=False)
        account = await store_credit(session, with_account)
        await belongings(session, plain)

        response = await as_staff.delete("/users/bulk/inactive")

        assert response.json() == {"changed": 2}
        assert [await session.get(User, user.id) for user in (plain, with_account)] == [None, None]
        assert await session.get(Account, account.id) is None
        assert await count_belongings(session, plain) == [0, 0, 0, 0]

    async def test_those_with_orders_or_money_become_nameless(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        known: dict[str, Any] = {
            "is_active": False,
            "full_name": "Ann Other",
            "bio": "Hello.",
            "last_login_at": utcnow(),
        }
        buyer, saver = await a_user(session, **known), await a_user(session, **known)
        order = await an_order(session, buyer)
        account = await store_credit(session, saver, "5.00")
        for user in (buyer, saver):
            await belongings(session, user)

        response = await as_staff.delete("/users/bulk/inactive")

        assert response.json() == {"changed": 2}
        for user in (buyer, saver):
            assert_anonymous(await stored(session, user.id))
            assert await count_belongings(session, user) == [0, 0, 0, 0]
        assert await session.get(Order, order.id) is not None
        assert await session.get(Account, account.id) is not None
        details = (await as_staff.get(f"/orders/{order.id}/details")).json()
        assert details["user"] == {"id": buyer.id, "username": f"erased-{buyer.id}"}

    async def test_active_ones_and_staff_stay(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        employee = await a_user(session, "employee", is_superuser=True, is_active=False)
        await belongings(session, customer)
        await belongings(session, employee)

        assert (await as_staff.delete("/users/bulk/inactive")).json() == {"changed": 0}
        assert (await stored(session, employee.id)).username == "employee"
        assert (await stored(session, customer.id)).username == "customer"
        assert await count_belongings(session, customer) == [1, 1, 1, 1]
        assert await count_belongings(session, employee) == [1, 1, 1, 1]

    async def test_nobody_is_erased_twice(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        buyer = await a_user(session, is_active=False)
        await an_order(session, buyer)

        changed = [(await as_staff.delete("/users/bulk/inactive")).json()["changed"]]
        erased_at = (await stored(session, buyer.id)).erased_at
        changed.append((await as_staff.delete("/users/bulk/inactive")).json()["changed"])

        assert changed == [1, 0]
        assert (await stored(session, buyer.id)).erased_at == erased_at

    async def test_nobody_but_staff_does(
        self, client: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        gone = await a_user(session, is_active=False)

        assert_refused(await client.delete("/users/bulk/inactive"), 401)
        assert_refused(await as_customer.delete("/users/bulk/inactive"), 403)
        assert await session.get(User, gone.id) is not None

    @pytest.mark.parametrize("books", [True, False])
    async def test_while_one_is_made_active_again(
        self, as_staff: AsyncClient, session: AsyncSession, books: bool
    ) -> None:
        """Active with all that was theirs, or erased; never active and robbed."""
        for _ in range(8):
            user = await a_user(session, is_active=False)
            await belongings(session, user)
            if books:
                await an_order(session, user)

            erased, patched = await asyncio.gather(
                as_staff.delete("/users/bulk/inactive"), as_staff.patch(f"/users/{user.id}", json={"is_active": True})
            )

            assert erased.status_code == 200
            assert patched.status_code in {200, 404}
            await self.assert_whole_or_erased(session, user, patched)

    async def test_who_is_made_active_in_the_middle_of_it_waits(
        self, backend: Backend, as_staff: AsyncClient, database: Database, session: AsyncSession
    ) -> None:
        """Another row that is held keeps the erasing from getting on."""
        if backend.name == "sqlite":
            pytest.skip("SQLite has one writer at a time, so there is no middle")
        user, other = await a_user(session, is_active=False), await a_user(session, is_active=False)
        for each in (user, other):
            await belongings(session, each)
        async with asyncio.TaskGroup() as tasks, database.writes() as holding, holding.begin():
            await holding.exec(select(Post.id).where(Post.author_id == other.id).with_for_update())
            erasing = tasks.create_task(as_staff.delete("/users/bulk/inactive"))
            await asyncio.sleep(0.3)
            patching = tasks.create_task(as_staff.patch(f"/users/{user.id}", json={"is_active": True}))
            await asyncio.sleep(0.3)
            assert not erasing.done()

        assert erasing.result().json() == {"changed": 2}
        assert patching.result().status_code == 404
        await self.assert_whole_or_erased(session, user, patching.result())

    async def assert_whole_or_erased(self, session: AsyncSession, user: User, patched: httpx.Response) -> None:
        after = await session.get(User, user.id)
        if patched.status_code == 200:
            assert after is not None
            assert (after.is_active, after.erased_at) == (True, None)
            assert await count_belongings(session, user) == [1, 1, 1, 1]
        else:
            assert after is None or after.erased_at is not None
            assert await count_belongings(session, user) == [0, 0, 0, 0]

    @pytest.mark.parametrize("size", [1, 20])
    async def test_takes_nine_statements_whatever_the_size(
        self, as_staff: AsyncClient, session: AsyncSession, database: Database, size: int
    ) -> None:
        for _ in range(size):
            await an_order(session, await a_user(session, is_active=False))
            await belongings(session, await a_user(session, is_active=False))

        with count_statements(database) as statements:
            response = await as_staff.delete("/users/bulk/inactive")
        assert response.json() == {"changed": 2 * size}
        assert len(statements) == 9  # the token, users and accounts held, four kinds of belongings, without books, with


class TestReadUser:
    async def test_oneself_and_anybody_as_staff(
        self, as_customer: AsyncClient, as_staff: AsyncClient, customer: User, database: Database
    ) -> None:
        with count_statements(database) as statements:
            own = await as_customer.get(f"/users/{customer.id}")

        assert own.json().keys() == SHOWN
        assert own.json() == (await as_staff.get(f"/users/{customer.id}")).json()
        assert len(statements) == 2

    async def test_others_do_not_exist(
        self, client: AsyncClient, as_customer: AsyncClient, other_customer: User, staff: User
    ) -> None:
        assert_refused(await client.get(f"/users/{other_customer.id}"), 401)
        answers = [await as_customer.get(f"/users/{user_id}") for user_id in (other_customer.id, staff.id, MAX_ID)]
        assert_refused(answers[0], 404, "There is no such user.")
        assert len({answer.content for answer in answers}) == 1

    @pytest.mark.parametrize("user_id", [1_000_000, MAX_ID])
    async def test_one_that_does_not_exist_is_not_found(self, as_staff: AsyncClient, user_id: int) -> None:
        assert_refused(await as_staff.get(f"/users/{user_id}"), 404, "no such user")

    @pytest.mark.parametrize("user_id", NO_IDS, ids=lambda value: value[:25])
    @pytest.mark.parametrize("method", ["GET", "DELETE"])
    async def test_what_cannot_be_an_id_is_refused(self, as_staff: AsyncClient, method: str, user_id: str) -> None:
        assert_refused(await as_staff.request(method, f"/users/{user_id}"), 422, "path.id")


class TestReadUserWithPosts:
    async def test_oneself_with_posts_and_their_tags_drafts_too(
        self, as_customer: AsyncClient, customer: User, other_customer: User, session: AsyncSession
    ) -> None:
        draft = await a_post(session, customer, "Draft")
        published = await a_post(session, customer, "Published", status=PostStatus.PUBLISHED)
        await a_post(session, other_customer, "Not mine", status=PostStatus.PUBLISHED)
        vinyl, audio = Tag(name="Vinyl", slug="vinyl"), Tag(name="Audio", slug="audio")
        await save(session, vinyl, audio)
        await save(session, PostTag(post_id=draft.id, tag_id=vinyl.id), PostTag(post_id=draft.id, tag_id=audio.id))

        body = (await as_customer.get(f"/users/{customer.id}/with-posts")).json()

        assert body.keys() == SHOWN | {"posts"}
        posts = {post["id"]: post for post in body["posts"]}
        assert posts.keys() == {draft.id, published.id}
        assert [tag["name"] for tag in posts[draft.id]["tags"]] == ["Audio", "Vinyl"]
        assert posts[published.id]["tags"] == []
        assert "content" not in posts[draft.id]

    async def test_anybody_as_staff(self, as_staff: AsyncClient, customer: User) -> None:
        assert (await as_staff.get(f"/users/{customer.id}/with-posts")).json()["posts"] == []

    async def test_others_do_not_exist(
        self, client: AsyncClient, as_customer: AsyncClient, as_staff: AsyncClient, other_customer: User
    ) -> None:
        assert_refused(await client.get(f"/users/{other_customer.id}/with-posts"), 401)
        assert_refused(await as_customer.get(f"/users/{other_customer.id}/with-posts"), 404)
        assert_refused(await as_staff.get("/users/1000000/with-posts"), 404)

    @pytest.mark.parametrize("size", [1, 20])
    async def test_takes_four_statements_whatever_the_size(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, database: Database, size: int
    ) -> None:
        for number in range(size):
            tag = Tag(name=f"Tag {number}", slug=f"tag-{number}")
            post = await a_post(session, customer)
            await save(session, tag)
            await save(session, PostTag(post_id=post.id, tag_id=tag.id))

        with count_statements(database) as statements:
            response = await as_customer.get(f"/users/{customer.id}/with-posts")
        assert len(response.json()["posts"]) == size
        assert len(statements) == 4  # the token, the user, the posts, their tags


class TestReplaceUser:
    async def test_what_is_absent_is_cleared(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await as_customer.patch("/users/me", json={"full_name": "C. Ustomer", "bio": "Hello."})

        response = await as_customer.put(
            f"/users/{customer.id}", json={"username": "renamed", "email": "New@example.com", "bio": "Bye."}
        )

        assert response.status_code == 200
        user = await stored(session, customer.id)
        assert (user.username, user.email, user.full_name, user.bio) == ("renamed", "new@example.com", None, "Bye.")
        assert (user.is_active, user.hashed_password) == (True, PASSWORD_HASH)

    async def test_staff_replace_anybody_and_stay_staff(
        self, as_staff: AsyncClient, staff: User, customer: User, session: AsyncSession
    ) -> None:
        for user in (staff, customer):
            new = {"username": f"{user.username}_2", "email": f"{user.username}.2@example.com"}
            assert (await as_staff.put(f"/users/{user.id}", json=new)).json()["username"] == f"{user.username}_2"

        assert (await stored(session, staff.id)).is_superuser
        assert not (await stored(session, customer.id)).is_superuser

    async def test_others_do_not_exist(
        self, client: AsyncClient, as_customer: AsyncClient, other_customer: User, session: AsyncSession
    ) -> None:
        new = {"username": "renamed", "email": "new@example.com"}

        assert_refused(await client.put(f"/users/{other_customer.id}", json=new), 401)
        assert_refused(await as_customer.put(f"/users/{other_customer.id}", json=new), 404)
        assert (await stored(session, other_customer.id)).username == "other_customer"

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"username": "renamed"}, "body.email"),
            ({"email": "new@example.com"}, "body.username"),
            ({"username": None, "email": "new@example.com"}, "body.username"),
            ({"username": "renamed", "email": "new@example.com", "is_superuser": True}, "body.is_superuser"),
            ({"username": "renamed", "email": "new@example.com", "password": PASSWORD}, "body.password"),
        ],
        ids=str,
    )
    async def test_bad_input_is_refused(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, body: dict[str, Any], field: str
    ) -> None:
        assert_refused(await as_customer.put(f"/users/{customer.id}", json=body), 422, field)
        assert (await stored(session, customer.id)).username == "customer"

    @pytest.mark.parametrize("field", ["username", "email"])
    async def test_what_is_taken_is_refused(
        self, as_customer: AsyncClient, customer: User, other_customer: User, field: str
    ) -> None:
        new = {"username": "renamed", "email": "new@example.com", field: getattr(other_customer, field)}

        assert_refused(await as_customer.put(f"/users/{customer.id}", json=new), 409, f"{field} is already taken")


class TestUpdateUser:
    async def test_changes_only_what_is_sent(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        response = await as_customer.patch(f"/users/{customer.id}", json={"bio": "Hello."})
        await as_customer.patch(f"/users/{customer.id}", json={"full_name": "C. Ustomer"})

        assert response.status_code == 200
        assert response.json()["updated_at"] > response.json()["created_at"]
        user = await stored(session, customer.id)
        assert (user.username, user.full_name, user.bio) == ("customer", "C. Ustomer", "Hello.")
        assert (user.email, user.hashed_password) == ("customer@example.com", PASSWORD_HASH)

    @pytest.mark.parametrize("changes", [{"is_active": False}, {"is_superuser": True}, {"is_active": True, "bio": "x"}])
    async def test_only_staff_set_the_switches(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, changes: dict[str, Any]
    ) -> None:
        assert_refused(await as_customer.patch(f"/users/{customer.id}", json=changes), 403, "Only staff")
        user = await stored(session, customer.id)
        assert (user.is_active, user.is_superuser, user.bio) == (True, False, None)

    async def test_staff_make_others_staff_and_customers_again(
        self, as_staff: AsyncClient, as_customer: AsyncClient, customer: User
    ) -> None:
        assert (await as_customer.get("/users")).status_code == 403
        response = await as_staff.patch(f"/users/{customer.id}", json={"is_superuser": True})
        assert response.json()["is_superuser"] is True
        assert (await as_customer.get("/users")).status_code == 200
        await as_staff.patch(f"/users/{customer.id}", json={"is_superuser": False})
        assert (await as_customer.get("/users")).status_code == 403

    async def test_deactivating_revokes_all_tokens_also_when_undone(
        self, as_staff: AsyncClient, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        response = await as_staff.patch(f"/users/{customer.id}", json={"is_active": False, "bio": "Locked."})
        assert (response.json()["is_active"], response.json()["bio"]) == (False, "Locked.")
        assert_refused(await as_customer.get("/users/me"), 401)

        await as_staff.patch(f"/users/{customer.id}", json={"is_active": True})

        assert (await stored(session, customer.id)).is_active
        assert_refused(await as_customer.get("/users/me"), 401)
        signed_in = await as_customer.post("/auth/token", data={"username": "customer", "password": PASSWORD})
        assert signed_in.status_code == 200

    async def test_others_do_not_exist(
        self, client: AsyncClient, as_customer: AsyncClient, other_customer: User, session: AsyncSession
    ) -> None:
        for changes in ({"bio": "Hacked."}, {"is_superuser": True}):
            assert_refused(await client.patch(f"/users/{other_customer.id}", json=changes), 401)
            assert_refused(await as_customer.patch(f"/users/{other_customer.id}", json=changes), 404)
        assert (await stored(session, other_customer.id)).bio is None

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"username": None}, "body.username"),
            ({"username": "x"}, "body.username"),
            ({"email": None}, "body.email"),
            ({"is_active": None}, "body.is_active"),
            ({"is_superuser": None}, "body.is_superuser"),
            ({"is_superuser": "often"}, "body.is_superuser"),
            ({"full_name": "x" * 101}, "body.full_name"),
            ({"bio": "a\0b"}, "body.bio"),
            ({"password": PASSWORD}, "body.password"),
            ({"erased_at": "2020-01-01T00:00:00Z"}, "body.erased_at"),
        ],
        ids=lambda value: str(value)[:40],
    )
    async def test_bad_input_is_refused(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession, changes: dict[str, Any], field: str
    ) -> None:
        before = customer.updated_at

        assert_refused(await as_staff.patch(f"/users/{customer.id}", json=changes), 422, field)
        assert (await stored(session, customer.id)).updated_at == before

    async def test_what_is_taken_is_refused(self, as_staff: AsyncClient, customer: User) -> None:
        for changes in ({"username": "staff"}, {"email": "Staff@example.com"}):
            refused = await as_staff.patch(f"/users/{customer.id}", json=changes)
            assert_refused(refused, 409, f"{next(iter(changes))} is already taken")

    async def test_while_one_is_erased(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        for number in range(10):
            user = await a_user(session)
            deleted, changed = await asyncio.gather(
                as_staff.delete(f"/users/{user.id}"),
                as_staff.patch(f"/users/{user.id}", json={"bio": f"{number}"}),
            )
            assert deleted.status_code == 204
            assert changed.status_code in {200, 404}

    async def test_nobody_erased_gets_a_name_again(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        for _ in range(10):
            user = await a_user(session)
            await an_order(session, user)
            deleted, _ = await asyncio.gather(
                as_staff.delete(f"/users/{user.id}"),
                as_staff.patch(f"/users/{user.id}", json={"full_name": "Ann Other", "is_active": True}),
            )
            assert deleted.status_code == 204
            assert_anonymous(await stored(session, user.id))


class TestDeleteUser:
    async def test_one_erases_oneself(self, as_customer: AsyncClient, customer: User, session: AsyncSession) -> None:
        await belongings(session, customer)

        response = await as_customer.delete(f"/users/{customer.id}")

        assert (response.status_code, response.content) == (204, b"")
        assert await session.get(User, customer.id) is None
        assert await count_belongings(session, customer) == [0, 0, 0, 0]
        assert_refused(await as_customer.get("/users/me"), 401)

    async def test_staff_erase_anybody(self, as_staff: AsyncClient, customer: User, session: AsyncSession) -> None:
        assert (await as_staff.delete(f"/users/{customer.id}")).status_code == 204
        assert await session.get(User, customer.id) is None
        assert_refused(await as_staff.delete(f"/users/{customer.id}"), 404)

    async def test_others_do_not_exist(
        self, client: AsyncClient, as_customer: AsyncClient, other_customer: User, session: AsyncSession
    ) -> None:
        assert_refused(await client.delete(f"/users/{other_customer.id}"), 401)
        assert_refused(await as_customer.delete(f"/users/{other_customer.id}"), 404)
        assert await session.get(User, other_customer.id) is not None

    @pytest.mark.parametrize("books", ["order", "credit"])
    async def test_with_books_one_becomes_nameless(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, books: str
    ) -> None:
        await as_customer.patch("/users/me", json={"full_name": "C. Ustomer", "bio": "Hello."})
        await belongings(session, customer)
        await (an_order(session, customer) if books == "order" else store_credit(session, customer, "5.00"))

        assert (await as_customer.delete(f"/users/{customer.id}")).status_code == 204

        assert_anonymous(await stored(session, customer.id))
        assert await count_belongings(session, customer) == [0, 0, 0, 0]
        assert_refused(await as_customer.get("/users/me"), 401)

    async def test_an_empty_account_is_no_book(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        account = await store_credit(session, customer)

        assert (await as_customer.delete(f"/users/{customer.id}")).status_code == 204
        assert await session.get(User, customer.id) is None
        assert await session.get(Account, account.id) is None

    async def test_what_staff_did_to_orders_stays_when_they_go(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        employee = await a_user(session, is_superuser=True)
        order = await an_order(session, customer)
        event = OrderEvent(order_id=order.id, to_status=OrderStatus.PENDING, user_id=employee.id)
        await save(session, event)

        assert (await as_staff.delete(f"/users/{employee.id}")).status_code == 204

        stays = await session.get(OrderEvent, event.id)
        assert stays is not None
        assert stays.user_id is None

    async def test_name_and_address_are_free_again(
        self, client: AsyncClient, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await an_order(session, customer)
        await as_customer.delete(f"/users/{customer.id}")

        again = {"username": "customer", "email": "customer@example.com", "password": PASSWORD}
        assert (await client.post("/users", json=again)).json()["id"] > customer.id

    async def test_of_two_at_once_both_find_it_gone_or_go(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        for _ in range(10):
            user = await a_user(session)
            responses = await asyncio.gather(*(as_staff.delete(f"/users/{user.id}") for _ in range(2)))
            assert sorted(response.status_code for response in responses) == [204, 404]

    async def test_while_an_order_is_written_the_books_stay_whole(
        self, as_staff: AsyncClient, database: Database, session: AsyncSession
    ) -> None:
        async def order(user: User) -> None:
            async with database.writes() as writing, writing.begin():
                found = select(User.id).where(User.id == user.id, col(User.is_active)).with_for_update(read=True)
                if (await writing.exec(found)).first() is not None:
                    writing.add(Order(user_id=user.id, total_amount=Decimal("1.00")))

        for _ in range(10):
            user = await a_user(session)
            deleted, _ = await asyncio.gather(as_staff.delete(f"/users/{user.id}"), order(user))
            assert deleted.status_code in {204, 409}
            if await count_rows(session, Order, Order.user_id == user.id) and deleted.status_code == 204:
                assert_anonymous(await stored(session, user.id))

    @pytest.mark.parametrize("bulk", [False, True], ids=["one", "all inactive"])
    async def test_credit_that_is_about_to_come_in_is_waited_for(
        self, as_staff: AsyncClient, database: Database, session: AsyncSession, bulk: bool
    ) -> None:
        user = await a_user(session, is_active=not bulk)
        account = await store_credit(session, user)
        async with asyncio.TaskGroup() as tasks, database.writes() as depositing, depositing.begin():
            issued = await ledger.shop_account(depositing, ShopAccount.ISSUED)
            given = Transaction(from_account_id=issued.id, to_account_id=account.id, amount=Decimal("5.00"))
            await ledger.post(depositing, given)
            path = "/users/bulk/inactive" if bulk else f"/users/{user.id}"
            erasing = tasks.create_task(as_staff.delete(path))
            await asyncio.sleep(0.3)
            assert not erasing.done()

        assert erasing.result().status_code == (200 if bulk else 204), erasing.result().text
        assert_anonymous(await stored(session, user.id))
        assert await verify(database)

    async def test_credit_that_waits_while_it_is_done_is_refused(
        self, as_staff: AsyncClient, database: Database, session: AsyncSession
    ) -> None:
        if database.engine.dialect.name == "sqlite":
            pytest.skip("one transaction writes at a time: nothing can be erased while another one waits")
        user = await a_user(session)
        await an_order(session, user)
        account = await store_credit(session, user)
        async with asyncio.TaskGroup() as tasks, database.writes() as holding, holding.begin():
            issued = await ledger.shop_account(holding, ShopAccount.ISSUED)
            await holding.exec(select(Account).where(Account.id == issued.id).with_for_update())
            sent = as_staff.post(f"/accounts/{account.id}/deposits", json={"amount": "5.00"})
            depositing = tasks.create_task(sent)
            await asyncio.sleep(0.3)  # it has seen that the account is in use, and waits for the one that gives
            assert (await as_staff.delete(f"/users/{user.id}")).status_code == 204

        assert depositing.result().status_code == 409, depositing.result().text
        assert (await session.exec(select(col(Account.balance)).where(Account.id == account.id))).one() == 0

    @pytest.mark.parametrize("bulk", [False, True], ids=["one", "all inactive"])
    async def test_while_credit_comes_in_it_is_refused_or_the_books_are_kept(
        self, as_staff: AsyncClient, database: Database, session: AsyncSession, bulk: bool
    ) -> None:
        for _ in range(8):
            user = await a_user(session, is_active=not bulk)
            account = await store_credit(session, user)

            erased, deposited = await asyncio.gather(
                as_staff.delete("/users/bulk/inactive" if bulk else f"/users/{user.id}"),
                as_staff.post(f"/accounts/{account.id}/deposits", json={"amount": "5.00"}),
            )

            assert erased.status_code == (200 if bulk else 204), erased.text
            after = await session.get(User, user.id)
            if deposited.status_code == 201:
                assert after is not None
                assert_anonymous(after)
            else:
                assert deposited.status_code in {404, 422}, deposited.text
                assert after is None
        assert await verify(database)


class TestErasedUsers:
    @pytest.fixture
    async def erased(self, as_staff: AsyncClient, session: AsyncSession) -> User:
        user = await a_user(session, "forgotten")
        await an_order(session, user)
        await as_staff.delete(f"/users/{user.id}")
        return await stored(session, user.id)

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("GET", "/users/{id}", None),
            ("GET", "/users/{id}/with-posts", None),
            ("GET", "/users/by-email/{email}", None),
            ("GET", "/users/by-email/forgotten@example.com", None),
            ("PUT", "/users/{id}", {"username": "again", "email": "again@example.com"}),
            ("PATCH", "/users/{id}", {"is_active": True}),
            ("DELETE", "/users/{id}", None),
            ("DELETE", "/users/{id}/soft", None),
        ],
    )
    async def test_do_not_exist_for_any_route(
        self, as_staff: AsyncClient, erased: User, session: AsyncSession, method: str, path: str, body: Any
    ) -> None:
        path = path.format(id=erased.id, email=erased.email)

        assert_refused(await as_staff.request(method, path, json=body), 404, "no such user")
        assert_anonymous(await stored(session, erased.id))

    async def test_are_in_no_list_and_no_count(self, as_staff: AsyncClient, erased: User) -> None:
        assert usernames(await as_staff.get("/users")) == ["staff"]
        assert usernames(await as_staff.get("/users", params={"is_active": False})) == []
        assert usernames(await as_staff.get("/users", params={"search": "erased"})) == []
        assert usernames(await as_staff.get("/users/search", params={"q": "erased"})) == []
        assert (await as_staff.get("/users/stats/active-count")).json() == {"total": 1, "active": 1, "inactive": 0}
        assert (await as_staff.get("/users/stats/top-spenders")).json() == []

    async def test_sign_in_no_more(self, client: AsyncClient, erased: User) -> None:
        for username in ("forgotten", "forgotten@example.com", erased.username):
            for password in (PASSWORD, ""):
                signing_in = {"username": username, "password": password}
                assert (await client.post("/auth/token", data=signing_in)).status_code in {401, 422}


class TestDeactivateUser:
    async def test_one_locks_oneself_out(self, as_customer: AsyncClient, customer: User, session: AsyncSession) -> None:
        await belongings(session, customer)

        response = await as_customer.delete(f"/users/{customer.id}/soft")

        assert (response.status_code, response.json()["is_active"]) == (200, False)
        user = await stored(session, customer.id)
        assert (user.is_active, user.username, user.erased_at) == (False, "customer", None)
        assert await count_belongings(session, customer) == [0, 1, 1, 1]
        assert_refused(await as_customer.get("/users/me"), 401)
        signing_in = {"username": "customer", "password": PASSWORD}
        assert_refused(await as_customer.post("/auth/token", data=signing_in), 401)

    async def test_staff_lock_anybody_out_and_undo_it(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        for _ in range(2):  # the second time changes nothing
            assert (await as_staff.delete(f"/users/{customer.id}/soft")).json()["is_active"] is False
        await as_staff.patch(f"/users/{customer.id}", json={"is_active": True})
        assert (await stored(session, customer.id)).is_active

    async def test_others_do_not_exist(
        self, client: AsyncClient, as_customer: AsyncClient, other_customer: User, session: AsyncSession
    ) -> None:
        assert_refused(await client.delete(f"/users/{other_customer.id}/soft"), 401)
        assert_refused(await as_customer.delete(f"/users/{other_customer.id}/soft"), 404)
        assert (await stored(session, other_customer.id)).is_active


Leaving = Callable[[AsyncClient, int], Coroutine[Any, Any, httpx.Response]]

LEAVING: dict[str, Leaving] = {
    "erased": lambda client, user_id: client.delete(f"/users/{user_id}"),
    "deactivated": lambda client, user_id: client.delete(f"/users/{user_id}/soft"),
    "locked": lambda client, user_id: client.patch(f"/users/{user_id}", json={"is_active": False}),
    "demoted": lambda client, user_id: client.patch(f"/users/{user_id}", json={"is_superuser": False}),
}


@pytest.mark.parametrize("leaving", LEAVING.values(), ids=LEAVING)
class TestLastStaffUser:
    async def test_cannot_leave(
        self, as_staff: AsyncClient, staff: User, session: AsyncSession, leaving: Leaving
    ) -> None:
        await a_user(session, is_superuser=True, is_active=False)  # who cannot sign in does not count

        assert_refused(await leaving(as_staff, staff.id), 409, "last staff user")
        user = await stored(session, staff.id)
        assert (user.username, user.is_active, user.is_superuser) == ("staff", True, True)
        assert (await as_staff.get("/users")).status_code == 200

    async def test_can_leave_once_there_is_another(
        self, as_staff: AsyncClient, staff: User, session: AsyncSession, leaving: Leaving
    ) -> None:
        await a_user(session, is_superuser=True)

        assert (await leaving(as_staff, staff.id)).is_success
        assert await count_rows(session, User, col(User.is_superuser), col(User.is_active)) == 1

    async def test_one_remains_when_two_remove_each_other_at_once(
        self, connect: Connect, session: AsyncSession, leaving: Leaving
    ) -> None:
        for _ in range(8):
            await session.exec(delete(User))
            first, second = await a_user(session, is_superuser=True), await a_user(session, is_superuser=True)
            as_first, as_second = await connect(first), await connect(second)

            responses = await asyncio.gather(leaving(as_first, second.id), leaving(as_second, first.id))

            assert sorted(response.is_success for response in responses) == [False, True]
            assert {response.status_code for response in responses if response.is_error} <= {401, 404, 409}
            assert await count_rows(session, User, col(User.is_superuser), col(User.is_active)) == 1

    async def test_one_remains_when_two_leave_at_once(
        self, connect: Connect, session: AsyncSession, leaving: Leaving
    ) -> None:
        for _ in range(8):
            await session.exec(delete(User))
            first, second = await a_user(session, is_superuser=True), await a_user(session, is_superuser=True)
            as_first, as_second = await connect(first), await connect(second)

            responses = await asyncio.gather(leaving(as_first, first.id), leaving(as_second, second.id))

            assert sorted(response.is_success for response in responses) == [False, True]
            assert await count_rows(session, User, col(User.is_superuser), col(User.is_active)) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/users",
        "/users?cursor=",
        "/users?search=c&is_active=true",
        "/users/search?q=c",
        "/posts",
        "/posts/{post}",
        "/posts/by-slug/{slug}",
        "/orders",
        "/orders/{order}/details",
        "/orders/user/{user}",
        "/users/{user}",
        "/users/{user}/with-posts",
        "/users/by-email/{email}",
    ],
)
async def test_no_password_hash_is_read_but_to_check_the_token(
    as_staff: AsyncClient, customer: User, session: AsyncSession, database: Database, path: str
) -> None:
    post, order = await a_post(session, customer, status=PostStatus.PUBLISHED), await an_order(session, customer)
    with count_statements(database) as statements:
        response = await as_staff.get(
            path.format(post=post.id, slug=post.slug, order=order.id, user=customer.id, email=customer.email)
        )

    assert response.status_code == 200
    token_check, *others = statements
    assert "tokens" in token_check
    assert [each for each in others if "hashed_password" in each] == []


@pytest.mark.parametrize("path", ["/posts", "/posts?cursor=", "/posts?author_id={user}", "/users/{user}/with-posts"])
async def test_no_list_reads_the_texts_of_posts(
    as_staff: AsyncClient, customer: User, session: AsyncSession, database: Database, path: str
) -> None:
    post = await a_post(session, customer, status=PostStatus.PUBLISHED)
    with count_statements(database) as statements:
        assert post.title in (await as_staff.get(path.format(user=customer.id))).text
    assert [each for each in statements if "posts.content" in each] == []


async def test_changes_by_staff_do_not_touch_other_rows(
    as_staff: AsyncClient, customer: User, other_customer: User, session: AsyncSession
) -> None:
    await session.exec(update(User).values(updated_at=User.created_at))

    await as_staff.patch(f"/users/{customer.id}", json={"bio": "Hello."})

    others = select(User).where(User.id != customer.id)
    assert all(user.updated_at == user.created_at for user in (await session.exec(others)).all())
