"""Erasing users: who may do it, and how every route answers for an erased user."""

import asyncio
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.user import User
from api.rules import erasure
from tests.factories import a_user, an_order
from tests.routes.users.support import usernames
from tests.rules.users import assert_anonymised, count_belongings, give_belongings, stored_user
from tests.support import PASSWORD, assert_refused, count_statements


class TestDeleteUser:
    async def test_users_can_erase_themselves(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await give_belongings(session, customer)

        response = await as_customer.delete(f"/users/{customer.id}")

        assert (response.status_code, response.content) == (204, b"")
        assert await session.get(User, customer.id) is None
        assert await count_belongings(session, customer) == [0, 0, 0, 0]
        assert_refused(await as_customer.get("/users/me"), 401)

    async def test_staff_can_erase_any_user(self, as_staff: AsyncClient, customer: User, session: AsyncSession) -> None:
        assert (await as_staff.delete(f"/users/{customer.id}")).status_code == 204
        assert await session.get(User, customer.id) is None
        assert_refused(await as_staff.delete(f"/users/{customer.id}"), 404)

    async def test_other_users_are_not_found(
        self, client: AsyncClient, as_customer: AsyncClient, other_customer: User, session: AsyncSession
    ) -> None:
        assert_refused(await client.delete(f"/users/{other_customer.id}"), 401)
        assert_refused(await as_customer.delete(f"/users/{other_customer.id}"), 404)
        assert await session.get(User, other_customer.id) is not None

    async def test_one_of_two_simultaneous_requests_is_not_found(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        for _ in range(10):
            user = await a_user(session)
            responses = await asyncio.gather(*(as_staff.delete(f"/users/{user.id}") for _ in range(2)))
            assert sorted(response.status_code for response in responses) == [204, 404]


class TestEraseInactiveUsers:
    async def test_active_customers_and_inactive_staff_stay(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        employee = await a_user(session, "employee", is_superuser=True, is_active=False)
        await give_belongings(session, customer)
        await give_belongings(session, employee)

        assert (await as_staff.delete("/users/bulk/inactive")).json() == {"changed": 0}
        assert (await stored_user(session, employee.id)).username == "employee"
        assert (await stored_user(session, customer.id)).username == "customer"
        assert await count_belongings(session, customer) == [1, 1, 1, 1]
        assert await count_belongings(session, employee) == [1, 1, 1, 1]

    async def test_an_erased_user_is_not_erased_again(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        buyer = await a_user(session, is_active=False)
        await an_order(session, buyer)

        changed = [(await as_staff.delete("/users/bulk/inactive")).json()["changed"]]
        erased_at = (await stored_user(session, buyer.id)).erased_at
        changed.append((await as_staff.delete("/users/bulk/inactive")).json()["changed"])

        assert changed == [1, 0]
        assert (await stored_user(session, buyer.id)).erased_at == erased_at

    async def test_callers_other_than_staff_are_refused(
        self, client: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        inactive = await a_user(session, is_active=False)

        assert_refused(await client.delete("/users/bulk/inactive"), 401)
        assert_refused(await as_customer.delete("/users/bulk/inactive"), 403)
        assert await session.get(User, inactive.id) is not None

    async def test_many_users_are_erased_so_many_at_a_time(
        self, as_staff: AsyncClient, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(erasure, "USERS_AT_A_TIME", 2)
        for _ in range(3):
            await a_user(session, is_active=False)

        changed = [(await as_staff.delete("/users/bulk/inactive")).json()["changed"] for _ in range(3)]

        assert changed == [2, 1, 0]

    @pytest.mark.parametrize("size", [1, 20])
    async def test_any_number_of_users_takes_as_many_statements(
        self, as_staff: AsyncClient, session: AsyncSession, database: Database, size: int
    ) -> None:
        for _ in range(size):
            await an_order(session, await a_user(session, is_active=False))
            await give_belongings(session, await a_user(session, is_active=False))

        with count_statements(database) as statements:
            response = await as_staff.delete("/users/bulk/inactive")
        assert response.json() == {"changed": 2 * size}
        # The token, two locks, a delete for each of six tables and for answers, the users without and with books.
        assert len(statements) in (24, 25), "one user has the database write entries, and those before come first"


class TestStoredAnswers:
    async def test_no_stored_answer_shows_an_erased_person_again(self, as_staff: AsyncClient) -> None:
        users = [{"username": "anna", "email": "anna@example.com", "password": "SecurePass123"}]
        keyed = {"Idempotency-Key": "new-users"}
        created = await as_staff.post("/users/bulk", json=users, headers=keyed)
        assert (await as_staff.delete(f"/users/{created.json()[0]['id']}")).status_code == 204

        again = await as_staff.post("/users/bulk", json=users, headers=keyed)

        assert again.status_code == 201
        assert "Idempotent-Replayed" not in again.headers


class TestErasedUser:
    @pytest.fixture
    async def erased(self, as_staff: AsyncClient, session: AsyncSession) -> User:
        user = await a_user(session, "forgotten")
        await an_order(session, user)
        await as_staff.delete(f"/users/{user.id}")
        return await stored_user(session, user.id)

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
    async def test_an_erased_user_is_not_found_by_any_route(
        self, as_staff: AsyncClient, erased: User, session: AsyncSession, method: str, path: str, body: Any
    ) -> None:
        path = path.format(id=erased.id, email=erased.email)

        assert_refused(await as_staff.request(method, path, json=body), 404, "no such user")
        assert_anonymised(await stored_user(session, erased.id))

    async def test_an_erased_user_is_in_no_list_and_no_count(self, as_staff: AsyncClient, erased: User) -> None:
        assert usernames(await as_staff.get("/users")) == ["staff"]
        assert usernames(await as_staff.get("/users", params={"is_active": False})) == []
        assert usernames(await as_staff.get("/users", params={"search": "erased"})) == []
        assert usernames(await as_staff.get("/users/search", params={"q": "erased"})) == []
        assert (await as_staff.get("/users/stats/active-count")).json() == {"total": 1, "active": 1, "inactive": 0}
        assert (await as_staff.get("/users/stats/top-spenders")).json() == []

    async def test_an_erased_user_cannot_sign_in(self, client: AsyncClient, erased: User) -> None:
        for username in ("forgotten", "forgotten@example.com", erased.username):
            for password in (PASSWORD, ""):
                signing_in = {"username": username, "password": password}
                assert (await client.post("/auth/token", data=signing_in)).status_code in {401, 422}

    async def test_the_username_and_the_email_of_an_erased_user_can_be_registered_again(
        self, client: AsyncClient, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await an_order(session, customer)
        await as_customer.delete(f"/users/{customer.id}")

        again = {"username": "customer", "email": "customer@example.com", "password": PASSWORD}
        assert (await client.post("/users", json=again)).json()["id"] > customer.id
