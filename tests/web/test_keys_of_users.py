"""Idempotency keys and the user they belong to: what becomes of a key where its user is erased, or changes."""

import asyncio
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth import throttling
from api.database.sessions import Database
from api.models.attempt import Attempt
from api.models.idempotency_key import IdempotencyKey
from api.models.user import User
from tests.factories import an_order
from tests.support import PASSWORD, assert_refused
from tests.web.idempotency_cases import KEY, assert_answered_once, assert_replayed, stored_keys
from tests.web.support import open_transaction

HEADERS = {"Idempotency-Key": KEY}
NEW_PASSWORD = {"current_password": PASSWORD, "new_password": "SaferPass456"}


class TestErasure:
    @pytest.mark.parametrize("with_books", [False, True])
    async def test_users_who_erase_themselves_take_their_keys_along(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, with_books: bool
    ) -> None:
        if with_books:
            await an_order(session, customer)
        await as_customer.patch("/users/me", json={"bio": "Leaves."}, headers=HEADERS)

        erased = await as_customer.delete(f"/users/{customer.id}", headers=HEADERS)

        assert (erased.status_code, erased.content) == (204, b"")
        assert await stored_keys(session) == []
        assert_refused(await as_customer.delete(f"/users/{customer.id}", headers=HEADERS), 401)

    @pytest.mark.parametrize("with_books", [False, True])
    async def test_of_many_who_erase_one_user_at_once_one_does_and_no_key_is_left(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, with_books: bool
    ) -> None:
        if with_books:
            await an_order(session, customer)

        answers = await asyncio.gather(
            *(as_customer.delete(f"/users/{customer.id}", headers=HEADERS) for _ in range(10))
        )

        statuses = sorted(each.status_code for each in answers)
        assert statuses == [204, *[401] * 9], [each.text for each in answers]
        assert await stored_keys(session) == []

    async def test_a_key_that_waits_for_the_erasure_of_its_user_is_not_stored(
        self, as_customer: AsyncClient, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await an_order(session, customer)  # so that the row of the user is kept
        requests = [
            as_customer.patch("/users/me", json={"bio": "x"}, headers={"Idempotency-Key": f"{n}"}) for n in range(8)
        ]

        _, *answers = await asyncio.gather(as_staff.delete(f"/users/{customer.id}"), *requests)

        assert {each.status_code for each in answers} <= {200, 401, 404}, [each.text for each in answers]
        left = select(IdempotencyKey).where(IdempotencyKey.user_id == customer.id)
        assert (await session.exec(left)).all() == []


class TestChangesOfTheCaller:
    async def test_simultaneous_changes_under_different_keys_are_all_done(
        self, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        """Each key refers to the row that the route then locks: locked in two steps, they would deadlock."""
        changes = [
            as_customer.patch("/users/me", json={"bio": f"{n}"}, headers={"Idempotency-Key": f"{n}"}) for n in range(8)
        ]

        answers = await asyncio.gather(*changes)

        assert [each.status_code for each in answers] == [200] * 8
        assert all("Idempotent-Replayed" not in each.headers for each in answers)
        assert len(await stored_keys(session)) == 8

    async def test_a_repeated_change_is_not_counted_as_an_attempt(
        self, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        for _ in range(3):
            await as_customer.patch("/users/me", json={"bio": "x"}, headers=HEADERS)

        assert (await session.exec(select(col(Attempt.count)))).all() == [1]

    async def test_a_throttled_change_leaves_its_key_unused(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        limit, start = 100, throttling._window_start()
        monkeypatch.setattr(throttling, "_window_start", lambda: start)  # also at the end of a window
        answers = [
            await as_customer.patch("/users/me", json={"bio": f"{n}"}, headers={"Idempotency-Key": f"{n}"})
            for n in range(limit + 1)
        ]

        assert_refused(answers[-1], 429)
        assert int(answers[-1].headers["Retry-After"]) > 0
        assert len(await stored_keys(session)) == limit


class TestPassword:
    async def test_a_repeated_change_of_the_password_gets_the_same_answer(
        self, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        """Without the key the second one is refused: the current password is another one by then."""
        first = await as_customer.post("/auth/password", json=NEW_PASSWORD, headers=HEADERS)
        again = await as_customer.post("/auth/password", json=NEW_PASSWORD, headers=HEADERS)

        assert (first.status_code, first.content) == (204, b"")
        assert_replayed(again, first)
        assert_refused(await as_customer.post("/auth/password", json=NEW_PASSWORD), 403)

    async def test_of_simultaneous_changes_of_the_password_one_is_done(
        self, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        answers = await asyncio.gather(
            *(as_customer.post("/auth/password", json=NEW_PASSWORD, headers=HEADERS) for _ in range(5))
        )

        assert_answered_once(list(answers), 204)

    async def test_a_wrong_password_is_counted_once_and_its_refusal_repeated(
        self, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        wrong: dict[str, Any] = {**NEW_PASSWORD, "current_password": "WrongPass1"}

        first = await as_customer.post("/auth/password", json=wrong, headers=HEADERS)
        again = await as_customer.post("/auth/password", json=wrong, headers=HEADERS)

        assert_refused(first, 403, "The current password is wrong.")
        assert_replayed(again, first)
        assert (await session.exec(select(col(Attempt.count)))).all() == [1]

    async def test_a_fingerprint_is_no_fast_hash_of_a_password(
        self, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        """The same request under two keys has two fingerprints: each is salted."""
        wrong = {**NEW_PASSWORD, "current_password": "WrongPass1"}
        for key in ("first", "second"):
            await as_customer.post("/auth/password", json=wrong, headers={"Idempotency-Key": key})

        first, second = await stored_keys(session)
        assert first.fingerprint != second.fingerprint


async def test_a_key_that_is_busy_beside_a_counter_is_a_conflict_and_not_stored(
    as_customer: AsyncClient, customer: User, database: Database, session: AsyncSession
) -> None:
    row = IdempotencyKey(user_id=customer.id, route="PATCH /users/me", key=KEY, fingerprint="first")
    async with open_transaction(database, row=row):
        busy = await as_customer.patch("/users/me", json={"bio": "x"}, headers=HEADERS)

    assert busy.status_code in {409, 503}
    assert int(busy.headers["Retry-After"]) > 0
    assert await stored_keys(session) == []
    assert (await as_customer.patch("/users/me", json={"bio": "x"}, headers=HEADERS)).status_code == 200
