"""Access of users: an update during an erasure, and the last active staff user, who stays."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest
from httpx import AsyncClient
from sqlmodel import delete
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.user import User
from tests.conftest import Connect
from tests.factories import a_user, an_order
from tests.rules.users import assert_anonymised, count_active_staff, stored_user
from tests.support import assert_refused

Leaving = Callable[[AsyncClient, int], Coroutine[Any, Any, httpx.Response]]

LEAVING: dict[str, Leaving] = {
    "erased": lambda client, user_id: client.delete(f"/users/{user_id}"),
    "deactivated by DELETE": lambda client, user_id: client.delete(f"/users/{user_id}/soft"),
    "deactivated by PATCH": lambda client, user_id: client.patch(f"/users/{user_id}", json={"is_active": False}),
    "demoted": lambda client, user_id: client.patch(f"/users/{user_id}", json={"is_superuser": False}),
}
"""The requests by which a staff user can cease to be an active staff user."""


async def two_staff_users(connect: Connect, session: AsyncSession) -> list[tuple[User, AsyncClient]]:
    """The only two users that there are, each with a client."""
    await session.exec(delete(User))
    users = [await a_user(session, is_superuser=True) for _ in range(2)]
    return [(user, await connect(user)) for user in users]


class TestLock:
    async def test_a_user_who_updates_during_the_erasure_is_updated_or_refused(
        self, connect: Connect, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        for number in range(10):
            user = await a_user(session)
            own = await connect(user)
            deleted, changed = await asyncio.gather(
                as_staff.delete(f"/users/{user.id}"), own.patch("/users/me", json={"bio": f"{number}"})
            )
            assert deleted.status_code == 204
            assert changed.status_code in {200, 401, 404}

    async def test_an_update_by_staff_during_the_erasure_succeeds_or_is_not_found(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        for number in range(10):
            user = await a_user(session)
            deleted, changed = await asyncio.gather(
                as_staff.delete(f"/users/{user.id}"),
                as_staff.patch(f"/users/{user.id}", json={"bio": f"{number}"}),
            )
            assert deleted.status_code == 204
            assert changed.status_code in {200, 404}

    async def test_an_update_during_the_erasure_never_gives_a_name_to_an_erased_user(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        for _ in range(10):
            user = await a_user(session)
            await an_order(session, user)
            deleted, _ = await asyncio.gather(
                as_staff.delete(f"/users/{user.id}"),
                as_staff.patch(f"/users/{user.id}", json={"full_name": "Ann Other", "is_active": True}),
            )
            assert deleted.status_code == 204
            assert_anonymised(await stored_user(session, user.id))


@pytest.mark.parametrize("leaving", LEAVING.values(), ids=LEAVING)
class TestKeepOneStaffUser:
    async def test_the_last_staff_user_cannot_leave(
        self, as_staff: AsyncClient, staff: User, session: AsyncSession, leaving: Leaving
    ) -> None:
        await a_user(session, is_superuser=True, is_active=False)  # a user who cannot sign in does not count

        assert_refused(await leaving(as_staff, staff.id), 409, "last active staff user")
        user = await stored_user(session, staff.id)
        assert (user.username, user.is_active, user.is_superuser) == ("staff", True, True)
        assert (await as_staff.get("/users")).status_code == 200

    async def test_a_staff_user_can_leave_when_another_one_remains(
        self, as_staff: AsyncClient, staff: User, session: AsyncSession, leaving: Leaving
    ) -> None:
        await a_user(session, is_superuser=True)

        assert (await leaving(as_staff, staff.id)).is_success
        assert await count_active_staff(session) == 1

    async def test_one_of_two_staff_users_who_remove_each_other_remains(
        self, connect: Connect, session: AsyncSession, leaving: Leaving
    ) -> None:
        for _ in range(8):
            (first, as_first), (second, as_second) = await two_staff_users(connect, session)

            responses = await asyncio.gather(leaving(as_first, second.id), leaving(as_second, first.id))

            assert sorted(response.is_success for response in responses) == [False, True]
            assert {response.status_code for response in responses if response.is_error} <= {401, 404, 409}
            assert await count_active_staff(session) == 1

    async def test_one_of_two_staff_users_who_leave_at_once_remains(
        self, connect: Connect, session: AsyncSession, leaving: Leaving
    ) -> None:
        for _ in range(8):
            (first, as_first), (second, as_second) = await two_staff_users(connect, session)

            responses = await asyncio.gather(leaving(as_first, first.id), leaving(as_second, second.id))

            assert sorted(response.is_success for response in responses) == [False, True]
            assert await count_active_staff(session) == 1
