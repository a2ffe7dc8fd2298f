"""Throttling: a client that guesses passwords or registers many users has to wait, and learns nothing from it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient, Response
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth import throttling
from api.database.sessions import Database
from api.models.attempt import Attempt
from api.models.user import User
from api.settings import Settings
from tests.apps import running
from tests.auth.support import NEW_PASSWORD, sign_in
from tests.factories import an_attempt
from tests.support import PASSWORD, assert_refused, said

WRONG_PASSWORD = "Wrong1234"

LOW_LIMITS = {"failed_sign_ins_per_account": 3, "failed_sign_ins_per_address": 5, "registrations_per_address": 3}

real_window_start = throttling._window_start
"""The function that `same_window` replaces."""


@pytest.fixture(autouse=True)
async def same_window(session: AsyncSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a test in one window, also when it runs at the end of one."""
    start = throttling._window_start()
    monkeypatch.setattr(throttling, "_window_start", lambda: start)


@asynccontextmanager
async def a_worker(settings: Settings, address: str = "203.0.113.7", **changes: Any) -> AsyncIterator[AsyncClient]:
    """A client at an address, and a worker with low limits that answers it."""
    async with (
        running(settings, **LOW_LIMITS | changes) as app,
        AsyncClient(transport=ASGITransport(app, client=(address, 50_000)), base_url="http://shop.test") as client,
    ):
        yield client


async def guess(client: AsyncClient, username: str) -> Response:
    """Sign in with a wrong password."""
    return await sign_in(client, username, WRONG_PASSWORD)


async def register(client: AsyncClient, number: int) -> Response:
    user = {"username": f"new_{number}", "email": f"new_{number}@example.com", "password": PASSWORD}
    return await client.post("/users", json=user)


def assert_has_to_wait(response: Response) -> None:
    assert_refused(response, 429, "Too many attempts")
    assert 0 < int(response.headers["Retry-After"]) <= throttling.WINDOW.total_seconds()


class TestSignIn:
    @pytest.mark.parametrize(
        "name", ["customer", "customer@example.com", "Customer@Example.com", "nobody", "\0", "customer "]
    )
    async def test_the_right_password_is_refused_after_too_many_failures(
        self, settings: Settings, customer: User, name: str
    ) -> None:
        """The responses are the same without such a user, so they do not tell whether the user exists."""
        async with a_worker(settings) as client:
            failed = [await guess(client, name) for _ in range(3)]
            late = await sign_in(client, name)

        assert [response.status_code for response in failed] == [401] * 3
        assert len({str(said(response)) for response in failed}) == 1
        assert_has_to_wait(late)

    async def test_all_spellings_of_a_username_are_counted_together(self, settings: Settings, customer: User) -> None:
        async with a_worker(settings) as client:
            for name in ("customer ", "Customer", " CUSTOMER\t"):
                assert (await guess(client, name)).status_code == 401
            assert_has_to_wait(await sign_in(client, customer.username))

    async def test_other_users_can_still_sign_in(
        self, settings: Settings, customer: User, other_customer: User
    ) -> None:
        async with a_worker(settings) as client:
            for _ in range(4):
                await guess(client, customer.username)
            assert (await sign_in(client, other_customer.username)).status_code == 200

    async def test_failures_with_many_usernames_from_one_address_are_counted_together(
        self, settings: Settings, customer: User
    ) -> None:
        async with a_worker(settings) as client, a_worker(settings, "198.51.100.9") as other_address:
            failed = [await guess(client, f"guess_{number}") for number in range(5)]
            late = await sign_in(client, customer.username)
            from_other_address = await sign_in(other_address, customer.username)

        assert [response.status_code for response in failed] == [401] * 5
        assert_has_to_wait(late)
        assert from_other_address.status_code == 200

    async def test_addresses_of_one_ipv6_network_are_counted_together(self, settings: Settings, customer: User) -> None:
        for number in range(5):
            async with a_worker(settings, f"2001:db8:1:2::{number}") as client:
                await guess(client, f"guess_{number}")
        async with a_worker(settings, "2001:db8:1:2:ffff::") as client:
            assert_has_to_wait(await sign_in(client, customer.username))
        async with a_worker(settings, "2001:db8:1:3::1") as client:
            assert (await sign_in(client, customer.username)).status_code == 200

    async def test_right_passwords_are_not_counted(self, settings: Settings, customer: User) -> None:
        async with a_worker(settings) as client:
            answers = [await sign_in(client, customer.username) for _ in range(8)]
        assert {answer.status_code for answer in answers} == {200}

    async def test_failures_on_several_workers_are_counted_together(self, settings: Settings, customer: User) -> None:
        async with a_worker(settings) as one, a_worker(settings) as other:
            for client in (one, other, one):
                assert (await guess(client, customer.username)).status_code == 401
            assert_has_to_wait(await sign_in(other, customer.username))

    async def test_simultaneous_sign_ins_exceed_the_limit_by_one_at_most(
        self, settings: Settings, customer: User
    ) -> None:
        """Two passwords are verified at a time, and failures are counted before the next one is verified."""
        async with a_worker(settings) as client:
            answers = await asyncio.gather(*(guess(client, customer.username) for _ in range(30)))
        tried = [answer for answer in answers if answer.status_code == 401]
        assert 3 <= len(tried) <= 4, f"{len(tried)} passwords were verified with a limit of 3"
        assert {answer.status_code for answer in answers} == {401, 429}

    async def test_a_new_window_allows_new_attempts(
        self, settings: Settings, customer: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with a_worker(settings) as client:
            for _ in range(4):
                await guess(client, customer.username)
            later = throttling._window_start() + throttling.WINDOW
            monkeypatch.setattr(throttling, "_window_start", lambda: later)
            assert (await sign_in(client, customer.username)).status_code == 200

    async def test_usernames_and_addresses_are_not_stored(
        self, settings: Settings, customer: User, session: AsyncSession
    ) -> None:
        async with a_worker(settings) as client:
            await guess(client, customer.username)
        rows = (await session.exec(select(Attempt))).all()
        assert {row.kind for row in rows} == {"failed_sign_ins_per_account", "failed_sign_ins_per_address"}
        assert not any(word in row.subject for row in rows for word in ("customer", "203.0.113.7"))


class TestChangePassword:
    async def test_guesses_of_the_current_password_are_limited(
        self, settings: Settings, as_customer: AsyncClient, as_other_customer: AsyncClient
    ) -> None:
        right = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
        wrong = {**right, "current_password": WRONG_PASSWORD}
        async with a_worker(settings) as client:
            client.headers = as_customer.headers
            refused = [await client.post("/auth/password", json=wrong) for _ in range(3)]
            late = await client.post("/auth/password", json=right)
            client.headers = as_other_customer.headers
            assert (await client.post("/auth/password", json=right)).status_code == 204
        assert {response.status_code for response in refused} == {403}
        assert_has_to_wait(late)

    async def test_failed_sign_ins_of_other_clients_do_not_block_a_password_change(
        self, settings: Settings, as_customer: AsyncClient, customer: User
    ) -> None:
        """A username that somebody sends is never counted for the id of a user."""
        async with a_worker(settings) as client:
            for name in (f"user {customer.id}", f"id {customer.id}", f"{customer.id}"):
                for _ in range(3):
                    await guess(client, name)
        async with a_worker(settings, "198.51.100.9") as client:
            client.headers = as_customer.headers
            right = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
            assert (await client.post("/auth/password", json=right)).status_code == 204


class TestRegister:
    async def test_registrations_from_one_address_are_limited(self, settings: Settings, database: Database) -> None:
        async with a_worker(settings) as client, a_worker(settings, "198.51.100.9") as other_address:
            answers = [await register(client, number) for number in range(4)]
            from_other_address = await register(other_address, 9)
        assert [answer.status_code for answer in answers[:3]] == [201] * 3
        assert_has_to_wait(answers[3])
        assert from_other_address.status_code == 201

    async def test_simultaneous_registrations_do_not_exceed_the_limit(
        self, settings: Settings, session: AsyncSession
    ) -> None:
        async with a_worker(settings) as client:
            answers = await asyncio.gather(*(register(client, number) for number in range(12)))
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [201] * 3 + [429] * 9
        assert len((await session.exec(select(User))).all()) == 3

    async def test_attempts_to_take_the_email_of_another_user_are_limited(
        self, settings: Settings, as_customer: AsyncClient, customer: User, other_customer: User
    ) -> None:
        """The refusal of such an update tells that a user with this email exists."""
        email = {"email": other_customer.email}
        async with a_worker(settings) as client:
            client.headers = as_customer.headers
            answers = [
                await client.patch("/users/me", json=email),
                await client.patch(f"/users/{customer.id}", json=email),
                await client.put(f"/users/{customer.id}", json={"username": "customer", **email}),
                await client.patch("/users/me", json=email),
            ]
        assert [answer.status_code for answer in answers[:3]] == [409] * 3
        assert_has_to_wait(answers[3])

    async def test_registrations_by_staff_are_not_limited(self, settings: Settings, as_staff: AsyncClient) -> None:
        async with a_worker(settings) as client:
            client.headers = as_staff.headers
            assert {(await register(client, number)).status_code for number in range(5)} == {201}


class TestWindow:
    async def test_attempts_of_past_windows_are_purged(self, database: Database, session: AsyncSession) -> None:
        for age in (0, 1, 2):
            start = throttling._window_start() - age * throttling.WINDOW
            await an_attempt(session, subject=f"{age}", window_start=start)
        async with database.transaction() as writing:
            assert await throttling.purge(writing) == 2
        assert [row.subject for row in (await session.exec(select(Attempt))).all()] == ["0"]

    def test_windows_follow_each_other_without_a_gap(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for seconds in (0, 1, 899.999, 900, 1_799):
            moment = datetime(2026, 5, 12, 9, 30, tzinfo=UTC) + timedelta(seconds=seconds)
            monkeypatch.setattr(throttling, "utcnow", lambda moment=moment: moment)
            assert real_window_start() == datetime(2026, 5, 12, 9, 30, tzinfo=UTC) + seconds // 900 * throttling.WINDOW


class TestNetworkOf:
    @pytest.mark.parametrize(
        ("host", "counted"),
        [
            ("203.0.113.7", "203.0.113.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("not an address", "not an address"),
        ],
    )
    def test_a_client_is_counted_by_ipv4_address_or_ipv6_network(self, host: str, counted: str) -> None:
        assert throttling.network_of(host) == counted
