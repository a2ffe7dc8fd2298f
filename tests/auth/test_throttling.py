"""Throttling: who guesses passwords or registers by the hundred has to wait, and learns nothing from it."""

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
from api.main import create_app
from api.models.attempt import Attempt, AttemptKind
from api.models.user import User
from api.settings import Settings
from tests.support import PASSWORD, assert_refused

FEW = {"failed_sign_ins_per_account": 3, "failed_sign_ins_per_address": 5, "registrations_per_address": 3}


window_start = throttling._window_start


@pytest.fixture(autouse=True)
async def one_window(session: AsyncSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """However near the end of a window a test runs."""
    start = throttling._window_start()
    monkeypatch.setattr(throttling, "_window_start", lambda: start)


@asynccontextmanager
async def a_worker(settings: Settings, address: str = "203.0.113.7", **changes: Any) -> AsyncIterator[AsyncClient]:
    """A process of the shop with low limits, and a client of it at an address."""
    app = create_app(settings.model_copy(update=FEW | changes))
    transport = ASGITransport(app, client=(address, 50_000))
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=transport, base_url="http://shop.test") as client,
    ):
        yield client


async def sign_in(client: AsyncClient, username: str, password: str = "Wrong1234") -> Response:
    return await client.post("/auth/token", data={"username": username, "password": password})


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
    async def test_after_some_failures_not_even_the_right_password_helps(
        self, settings: Settings, customer: User, name: str
    ) -> None:
        """Nor does it tell whether there is such an account."""
        async with a_worker(settings) as client:
            failed = [await sign_in(client, name) for _ in range(3)]
            late = await sign_in(client, name, PASSWORD)

        assert [response.status_code for response in failed] == [401] * 3
        assert len({response.content for response in failed}) == 1
        assert_has_to_wait(late)

    async def test_is_for_the_name_as_it_stands(self, client: AsyncClient, customer: User) -> None:
        """Each other spelling that a database took for the same would have a count of its own."""
        for name in ("customer ", "Customer", " customer", "customer@example.com "):
            assert (await sign_in(client, name, PASSWORD)).status_code == 401

    async def test_of_others_is_not_affected(self, settings: Settings, customer: User, other_customer: User) -> None:
        async with a_worker(settings) as client:
            for _ in range(4):
                await sign_in(client, customer.username)
            assert (await sign_in(client, other_customer.username, PASSWORD)).status_code == 200

    async def test_many_names_from_one_address_count_together(self, settings: Settings, customer: User) -> None:
        async with a_worker(settings) as client, a_worker(settings, "198.51.100.9") as elsewhere:
            failed = [await sign_in(client, f"guess_{number}") for number in range(5)]
            late = await sign_in(client, customer.username, PASSWORD)
            from_elsewhere = await sign_in(elsewhere, customer.username, PASSWORD)

        assert [response.status_code for response in failed] == [401] * 5
        assert_has_to_wait(late)
        assert from_elsewhere.status_code == 200

    async def test_an_ipv6_network_is_one_address(self, settings: Settings, customer: User) -> None:
        for number in range(5):
            async with a_worker(settings, f"2001:db8:1:2::{number}") as client:
                await sign_in(client, f"guess_{number}")
        async with a_worker(settings, "2001:db8:1:2:ffff::") as client:
            assert_has_to_wait(await sign_in(client, customer.username, PASSWORD))
        async with a_worker(settings, "2001:db8:1:3::1") as client:
            assert (await sign_in(client, customer.username, PASSWORD)).status_code == 200

    async def test_right_passwords_do_not_count(self, settings: Settings, customer: User) -> None:
        async with a_worker(settings) as client:
            answers = [await sign_in(client, customer.username, PASSWORD) for _ in range(8)]
        assert {answer.status_code for answer in answers} == {200}

    async def test_workers_count_together(self, settings: Settings, customer: User) -> None:
        async with a_worker(settings) as one, a_worker(settings) as other:
            for client in (one, other, one):
                assert (await sign_in(client, customer.username)).status_code == 401
            assert_has_to_wait(await sign_in(other, customer.username, PASSWORD))

    async def test_of_many_at_once_hardly_more_are_tried(self, settings: Settings, customer: User) -> None:
        """Two are hashed at a time, and the next one has its turn when those are counted."""
        async with a_worker(settings) as client:
            answers = await asyncio.gather(*(sign_in(client, customer.username) for _ in range(30)))
        tried = [answer for answer in answers if answer.status_code == 401]
        assert 3 <= len(tried) <= 4
        assert {answer.status_code for answer in answers} == {401, 429}

    async def test_a_new_window_is_a_new_chance(
        self, settings: Settings, customer: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with a_worker(settings) as client:
            for _ in range(4):
                await sign_in(client, customer.username)
            later = throttling._window_start() + throttling.WINDOW
            monkeypatch.setattr(throttling, "_window_start", lambda: later)
            assert (await sign_in(client, customer.username, PASSWORD)).status_code == 200

    async def test_names_and_addresses_are_not_stored(
        self, settings: Settings, customer: User, session: AsyncSession
    ) -> None:
        async with a_worker(settings) as client:
            await sign_in(client, customer.username)
        rows = (await session.exec(select(Attempt))).all()
        assert {row.kind for row in rows} == {"failed_sign_ins_per_account", "failed_sign_ins_per_address"}
        assert not any(word in row.subject for row in rows for word in ("customer", "203.0.113.7"))


class TestChangePassword:
    async def test_a_stolen_token_is_not_enough_to_guess_the_password(
        self, settings: Settings, as_customer: AsyncClient, as_other_customer: AsyncClient
    ) -> None:
        guess = {"current_password": "Wrong1234", "new_password": "SaferPass456"}
        right = {"current_password": PASSWORD, "new_password": "SaferPass456"}
        async with a_worker(settings) as client:
            client.headers = as_customer.headers
            refused = [await client.post("/auth/password", json=guess) for _ in range(3)]
            late = await client.post("/auth/password", json=right)
            client.headers = as_other_customer.headers
            assert (await client.post("/auth/password", json=right)).status_code == 204
        assert {response.status_code for response in refused} == {403}
        assert_has_to_wait(late)

    async def test_nobody_else_can_keep_a_user_from_it(
        self, settings: Settings, as_customer: AsyncClient, customer: User
    ) -> None:
        """A name that somebody types is never taken for a user's id."""
        async with a_worker(settings) as client:
            for name in (f"user {customer.id}", f"id {customer.id}", f"{customer.id}"):
                for _ in range(3):
                    await sign_in(client, name)
        async with a_worker(settings, "198.51.100.9") as client:
            client.headers = as_customer.headers
            right = {"current_password": PASSWORD, "new_password": "SaferPass456"}
            assert (await client.post("/auth/password", json=right)).status_code == 204


class TestRegister:
    async def test_one_address_registers_so_many(self, settings: Settings, database: Any) -> None:
        async with a_worker(settings) as client, a_worker(settings, "198.51.100.9") as elsewhere:
            answers = [await register(client, number) for number in range(4)]
            from_elsewhere = await register(elsewhere, 9)
        assert [answer.status_code for answer in answers[:3]] == [201] * 3
        assert_has_to_wait(answers[3])
        assert from_elsewhere.status_code == 201

    async def test_of_many_at_once_no_more_pass(self, settings: Settings, session: AsyncSession) -> None:
        async with a_worker(settings) as client:
            answers = await asyncio.gather(*(register(client, number) for number in range(12)))
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [201] * 3 + [429] * 9
        assert len((await session.exec(select(User))).all()) == 3

    async def test_whether_an_address_is_taken_is_not_asked_by_the_hundred(
        self, settings: Settings, as_customer: AsyncClient, customer: User, other_customer: User
    ) -> None:
        """A change of one's own row says that too."""
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

    async def test_staff_register_as_many_as_they_like(self, settings: Settings, as_staff: AsyncClient) -> None:
        async with a_worker(settings) as client:
            client.headers = as_staff.headers
            assert {(await register(client, number)).status_code for number in range(5)} == {201}


async def test_past_attempts_are_forgotten(database: Any, session: AsyncSession) -> None:
    for age in (0, 1, 2):
        start = throttling._window_start() - age * throttling.WINDOW
        session.add(Attempt(kind=AttemptKind.REGISTRATION, subject=f"{age}", window_start=start))
    await session.flush()
    async with database.transaction() as writing:
        assert await throttling.purge(writing) == 2
    assert [row.subject for row in (await session.exec(select(Attempt))).all()] == ["0"]


def test_windows_follow_each_other_without_a_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    for seconds in (0, 1, 899.999, 900, 1_799):
        moment = datetime(2026, 5, 12, 9, 30, tzinfo=UTC) + timedelta(seconds=seconds)
        monkeypatch.setattr(throttling, "utcnow", lambda moment=moment: moment)
        assert window_start() == datetime(2026, 5, 12, 9, 30, tzinfo=UTC) + seconds // 900 * throttling.WINDOW


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("not an address", "not an address"),
    ],
)
def test_what_stands_for_a_client(host: str, counted: str) -> None:
    assert throttling.network_of(host) == counted
