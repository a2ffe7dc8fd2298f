"""Changing users: themselves, and any user by staff."""

from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel import select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.user import User
from tests.rules.users import stored_user
from tests.support import PASSWORD, PASSWORD_HASH, assert_refused


class TestUpdateMe:
    async def test_an_update_changes_only_the_fields_that_are_sent(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await as_customer.patch("/users/me", json={"full_name": "C. Ustomer", "bio": "Hello."})

        response = await as_customer.patch("/users/me", json={"bio": None, "email": "New@Example.com"})

        assert response.status_code == 200
        user = await stored_user(session, customer.id)
        assert (user.username, user.email) == ("customer", "new@example.com")
        assert (user.full_name, user.bio) == ("C. Ustomer", None)
        assert user.hashed_password == PASSWORD_HASH
        assert (await as_customer.get("/users/me")).json() == response.json()

    async def test_an_empty_update_changes_nothing(self, as_customer: AsyncClient) -> None:
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
    async def test_an_invalid_field_is_refused(
        self, as_customer: AsyncClient, changes: dict[str, Any], field: str
    ) -> None:
        assert_refused(await as_customer.patch("/users/me", json=changes), 422, field)

    @pytest.mark.parametrize(
        ("changes", "field"),
        [({"username": "staff"}, "username"), ({"email": "STAFF@example.com"}, "email")],
        ids=str,
    )
    async def test_a_username_or_email_that_another_user_has_is_refused(
        self, as_customer: AsyncClient, staff: User, changes: dict[str, str], field: str
    ) -> None:
        response = await as_customer.patch("/users/me", json=changes)

        assert_refused(response, 409, f"A user with this {field} already exists.")

    async def test_an_anonymous_caller_is_refused(self, client: AsyncClient) -> None:
        assert_refused(await client.patch("/users/me", json={}), 401)


class TestReplaceUser:
    async def test_absent_fields_are_cleared(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await as_customer.patch("/users/me", json={"full_name": "C. Ustomer", "bio": "Hello."})

        response = await as_customer.put(
            f"/users/{customer.id}", json={"username": "renamed", "email": "New@example.com", "bio": "Bye."}
        )

        assert response.status_code == 200
        user = await stored_user(session, customer.id)
        assert (user.username, user.email, user.full_name, user.bio) == ("renamed", "new@example.com", None, "Bye.")
        assert (user.is_active, user.hashed_password) == (True, PASSWORD_HASH)

    async def test_staff_replace_any_user_and_stay_staff(
        self, as_staff: AsyncClient, staff: User, customer: User, session: AsyncSession
    ) -> None:
        for user in (staff, customer):
            new = {"username": f"{user.username}_2", "email": f"{user.username}.2@example.com"}
            assert (await as_staff.put(f"/users/{user.id}", json=new)).json()["username"] == f"{user.username}_2"

        assert (await stored_user(session, staff.id)).is_superuser
        assert not (await stored_user(session, customer.id)).is_superuser

    async def test_other_users_are_not_found(
        self, client: AsyncClient, as_customer: AsyncClient, other_customer: User, session: AsyncSession
    ) -> None:
        new = {"username": "renamed", "email": "new@example.com"}

        assert_refused(await client.put(f"/users/{other_customer.id}", json=new), 401)
        assert_refused(await as_customer.put(f"/users/{other_customer.id}", json=new), 404)
        assert (await stored_user(session, other_customer.id)).username == "other_customer"

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
    async def test_an_invalid_field_is_refused(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, body: dict[str, Any], field: str
    ) -> None:
        assert_refused(await as_customer.put(f"/users/{customer.id}", json=body), 422, field)
        assert (await stored_user(session, customer.id)).username == "customer"

    @pytest.mark.parametrize("field", ["username", "email"])
    async def test_a_username_or_email_that_another_user_has_is_refused(
        self, as_customer: AsyncClient, customer: User, other_customer: User, field: str
    ) -> None:
        new = {"username": "renamed", "email": "new@example.com", field: getattr(other_customer, field)}

        response = await as_customer.put(f"/users/{customer.id}", json=new)

        assert_refused(response, 409, f"A user with this {field} already exists.")


class TestUpdateUser:
    async def test_an_update_changes_only_the_fields_that_are_sent(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        response = await as_customer.patch(f"/users/{customer.id}", json={"bio": "Hello."})
        await as_customer.patch(f"/users/{customer.id}", json={"full_name": "C. Ustomer"})

        assert response.status_code == 200
        assert response.json()["updated_at"] > response.json()["created_at"]
        user = await stored_user(session, customer.id)
        assert (user.username, user.full_name, user.bio) == ("customer", "C. Ustomer", "Hello.")
        assert (user.email, user.hashed_password) == ("customer@example.com", PASSWORD_HASH)

    @pytest.mark.parametrize(
        "changes", [{"is_active": False}, {"is_superuser": True}, {"is_active": True, "bio": "x"}], ids=str
    )
    async def test_customers_cannot_set_is_active_or_is_superuser(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, changes: dict[str, Any]
    ) -> None:
        assert_refused(await as_customer.patch(f"/users/{customer.id}", json=changes), 403, "Only staff")
        user = await stored_user(session, customer.id)
        assert (user.is_active, user.is_superuser, user.bio) == (True, False, None)

    async def test_staff_promote_and_demote_users(
        self, as_staff: AsyncClient, as_customer: AsyncClient, customer: User
    ) -> None:
        assert (await as_customer.get("/users")).status_code == 403
        response = await as_staff.patch(f"/users/{customer.id}", json={"is_superuser": True})
        assert response.json()["is_superuser"] is True
        assert (await as_customer.get("/users")).status_code == 200
        await as_staff.patch(f"/users/{customer.id}", json={"is_superuser": False})
        assert (await as_customer.get("/users")).status_code == 403

    async def test_other_users_are_not_found(
        self, client: AsyncClient, as_customer: AsyncClient, other_customer: User, session: AsyncSession
    ) -> None:
        for changes in ({"bio": "Hacked."}, {"is_superuser": True}):
            assert_refused(await client.patch(f"/users/{other_customer.id}", json=changes), 401)
            assert_refused(await as_customer.patch(f"/users/{other_customer.id}", json=changes), 404)
        assert (await stored_user(session, other_customer.id)).bio is None

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
    async def test_an_invalid_field_is_refused(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession, changes: dict[str, Any], field: str
    ) -> None:
        before = customer.updated_at

        assert_refused(await as_staff.patch(f"/users/{customer.id}", json=changes), 422, field)
        assert (await stored_user(session, customer.id)).updated_at == before

    async def test_a_username_or_email_that_another_user_has_is_refused(
        self, as_staff: AsyncClient, customer: User
    ) -> None:
        for changes in ({"username": "staff"}, {"email": "Staff@example.com"}):
            refused = await as_staff.patch(f"/users/{customer.id}", json=changes)
            assert_refused(refused, 409, f"A user with this {next(iter(changes))} already exists.")

    async def test_an_update_by_staff_leaves_other_users_unchanged(
        self, as_staff: AsyncClient, customer: User, other_customer: User, session: AsyncSession
    ) -> None:
        await session.exec(update(User).values(updated_at=User.created_at))

        await as_staff.patch(f"/users/{customer.id}", json={"bio": "Hello."})

        others = select(User).where(User.id != customer.id)
        assert all(user.updated_at == user.created_at for user in (await session.exec(others)).all())
