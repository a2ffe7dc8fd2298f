"""Passwords: how they are hashed and verified."""

import asyncio
import threading

import pytest
from httpx import AsyncClient
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlmodel import update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth import passwords
from api.models.user import User
from tests.auth.support import CURRENT_PARAMETERS, password_hash, sign_in
from tests.support import PASSWORD, assert_refused


class TestHashing:
    async def test_every_character_of_a_long_password_counts(self, client: AsyncClient) -> None:
        password = "Aa1" + "x" * 100
        new = {"username": "customer", "email": "customer@example.com", "password": f"{password}1"}
        await client.post("/users", json=new)

        assert_refused(await sign_in(client, password=f"{password}2"), 401)
        assert (await sign_in(client, password=f"{password}1")).status_code == 200

    async def test_a_hash_with_weaker_parameters_is_replaced_at_sign_in(
        self, client: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        old = PasswordHash([Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)]).hash(PASSWORD)
        await session.exec(update(User).values(hashed_password=old))

        assert_refused(await sign_in(client, password="Wrong1234"), 401)
        assert await password_hash(session, customer) == old
        assert (await sign_in(client)).status_code == 200
        new = await password_hash(session, customer)
        assert new.startswith(CURRENT_PARAMETERS)
        assert (await sign_in(client)).status_code == 200
        assert await password_hash(session, customer) == new

    async def test_at_most_two_passwords_are_hashed_at_the_same_time(
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
