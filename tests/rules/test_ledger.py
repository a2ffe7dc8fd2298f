"""The ledger: all balances add up to zero at every moment, also while store credit is transferred."""

import asyncio
import random
from decimal import Decimal

import pytest
from httpx import AsyncClient, Response
from sqlalchemy.exc import IntegrityError
from sqlmodel.ext.asyncio.session import AsyncSession

from api.commands.verify import verify
from api.database.errors import refusal_for
from api.database.sessions import Database
from api.models.transaction import Transaction
from api.models.types import MAX_ID
from api.rules import ledger
from tests.books import assert_balances_equal_transactions, rows_of
from tests.conftest import Connect
from tests.factories import a_user, an_account
from tests.routes.accounts.support import transfer
from tests.timeouts import long_timeouts


class TestAccountOf:
    async def test_a_user_who_does_not_exist_gets_no_account(self, database: Database) -> None:
        async with database.writes() as writing:
            with pytest.raises(IntegrityError) as raised:
                await ledger.account_of(writing, MAX_ID)

        refusal = refusal_for(raised.value)
        assert refusal is not None
        assert refusal.status == 409


class TestLedger:
    async def test_the_sum_of_all_balances_is_constant_during_simultaneous_transfers(
        self,
        connect: Connect,
        as_staff: AsyncClient,
        database: Database,
        session: AsyncSession,
    ) -> None:
        users = [await a_user(session) for _ in range(8)]
        accounts = [await an_account(session, user, "1000.00") for user in users]
        clients = [await connect(user) for user in users]
        pick, done = random.Random(7), asyncio.Event()
        readings: list[list[Decimal]] = []

        async def transfer_a_random_amount() -> Response:
            sender, receiver = pick.sample(range(8), 2)
            return await transfer(clients[sender], accounts[receiver], f"{pick.randint(1, 60_000) / 100:.2f}")

        async def keep_reading() -> None:
            while not done.is_set():
                listed = (await as_staff.get("/accounts?page_size=100")).json()["items"]
                readings.append([Decimal(each["balance"]) for each in listed if each["user_id"] is not None])
                await asyncio.sleep(0.01)  # leaves the event loop to the transfers

        with long_timeouts(database):
            reader = asyncio.create_task(keep_reading())
            responses = await asyncio.gather(*(transfer_a_random_amount() for _ in range(240)))
            done.set()
            await reader

        assert [response.text for response in responses if response.status_code not in {201, 409}] == []
        assert {sum(reading) for reading in readings} == {Decimal("8000.00")}
        assert min(min(reading) for reading in readings) >= 0
        assert len({tuple(reading) for reading in readings}) > 1, "the balances were not read between the transfers"
        await assert_balances_equal_transactions(session)
        statuses = [response.status_code for response in responses]
        refusals = {response.json()["detail"] for response in responses if response.status_code == 409}
        assert refusals == {"The balance is too low for this amount."}
        assert len(await rows_of(session, Transaction)) == 8 + statuses.count(201)
        assert await verify(database)
