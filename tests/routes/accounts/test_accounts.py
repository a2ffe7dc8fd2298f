"""Store credit: one account a user, double entry, never below zero, and always zero in all."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import pytest
from httpx import AsyncClient, Response
from sqlalchemy import Dialect, event
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, func, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.commands.verify import verify
from api.database.errors import refusal_for
from api.database.sessions import Database
from api.models.account import Account, ShopAccount
from api.models.notification import Notification, NotificationKind
from api.models.transaction import Transaction
from api.models.types import MAX_ID
from api.models.user import User
from api.rules import ledger
from tests.conftest import Connect
from tests.support import PASSWORD_HASH, assert_refused, count_statements, save

NO_AMOUNT = ["0", "-1", "0.001", "1e400", "-1e400", "NaN", '"NaN"', '"inf"', '"1e400"', "10000000000000", "null", "[]"]
"""As they stand in JSON, or in what some take for JSON."""


async def shop_account(session: AsyncSession, which: ShopAccount) -> Account:
    return (await session.exec(select(Account).where(Account.name == which))).one()


async def an_account(session: AsyncSession, user: User, balance: str = "0") -> Account:
    """An account with a balance, and the transaction that explains it."""
    account = Account(name=f"Store credit {user.id}", user_id=user.id, balance=Decimal(balance))
    await save(session, account)
    if account.balance:
        issued = await shop_account(session, ShopAccount.ISSUED)
        given = col(Account.balance) - account.balance
        await session.exec(update(Account).where(col(Account.id) == issued.id).values(balance=given))
        await save(session, Transaction(from_account_id=issued.id, to_account_id=account.id, amount=account.balance))
    return account


async def erased_account(session: AsyncSession) -> Account:
    """Of a user of whom nothing but the books is left."""
    user = User(username="leaving", email="leaving@example.com", hashed_password=PASSWORD_HASH)
    await save(session, user)
    account = await an_account(session, user, "5.00")
    user.erase()
    await session.flush()
    return account


async def users(session: AsyncSession, number: int) -> list[User]:
    found = [
        User(username=f"user_{each}", email=f"user_{each}@example.com", hashed_password=PASSWORD_HASH)
        for each in range(number)
    ]
    await save(session, *found)
    return found


async def balances(session: AsyncSession) -> dict[int, Decimal]:
    return dict((await session.exec(select(col(Account.id), col(Account.balance)))).all())


async def transactions(session: AsyncSession) -> list[Transaction]:
    return list((await session.exec(select(Transaction).order_by(col(Transaction.id)))).all())


async def assert_explained(session: AsyncSession) -> None:
    """Each balance is what came in less what went out; none of a user's is below zero, and all come to zero."""
    expected = dict.fromkeys(await balances(session), Decimal(0))
    for transaction in await transactions(session):
        expected[transaction.from_account_id] -= transaction.amount
        expected[transaction.to_account_id] += transaction.amount
    assert await balances(session) == expected, "what came in less what went out"
    assert sum(expected.values()) == 0
    overdrawn = select(func.count()).where(col(Account.user_id).is_not(None), col(Account.balance) < 0)
    assert (await session.exec(overdrawn)).one() == 0


async def transfer(client: AsyncClient, target: Account, amount: str, **fields: Any) -> Response:
    return await client.post("/accounts/transfers", json={"to_account_id": target.id, "amount": amount, **fields})


async def deposit(client: AsyncClient, target: Account, amount: str, **fields: Any) -> Response:
    return await client.post(f"/accounts/{target.id}/deposits", json={"amount": amount, **fields})


@contextmanager
def patience(database: Database) -> Iterator[None]:
    """Let requests wait for a minute: of hundreds at once, the last waits for all others, and all for one event loop.

    What becomes of those who wait for longer than the shop lets anybody wait is shown in `test_transactions.py`.
    """

    def connect_slowly(dialect: Dialect, record: Any, arguments: Any, options: dict[str, Any]) -> None:
        if "connect_timeout" in options:
            options["connect_timeout"] = 60

    event.listen(database.engine.sync_engine, "do_connect", connect_slowly)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("api.transactions.LONGEST", 60)
            patch.setattr(database, "_patience", 60)
            patch.setattr(database.engine.pool, "_timeout", 60)
            yield
    finally:
        event.remove(database.engine.sync_engine, "do_connect", connect_slowly)


class TestReadMyAccount:
    async def test_it_is_made_the_first_time(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        first = await as_customer.get("/accounts/me")

        account = (await session.exec(select(Account).where(Account.user_id == customer.id))).one()
        assert first.json() == {
            "id": account.id,
            "name": f"Store credit {customer.id}",
            "user_id": customer.id,
            "balance": "0.00",
            "created_at": first.json()["created_at"],
        }
        assert (await as_customer.get("/accounts/me")).json() == first.json()

    async def test_ten_first_requests_at_once_make_one(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        responses = await asyncio.gather(*(as_customer.get("/accounts/me") for _ in range(10)))

        (account,) = (await session.exec(select(Account).where(Account.user_id == customer.id))).all()
        assert {response.json()["id"] for response in responses} == {account.id}

    async def test_it_shows_what_is_there(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await an_account(session, customer, "12.50")

        assert (await as_customer.get("/accounts/me")).json()["balance"] == "12.50"

    async def test_nobody_has_none(self, client: AsyncClient) -> None:
        assert_refused(await client.get("/accounts/me"), 401)

    async def test_whose_user_is_gone_by_then_gets_none(self, database: Database) -> None:
        async with database.writes() as writing:
            with pytest.raises(IntegrityError) as raised:
                await ledger.account_of(writing, MAX_ID)

        refusal = refusal_for(raised.value)
        assert refusal is not None
        assert refusal.status == 409


class TestListAccounts:
    async def test_all_come_to_zero(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        for number, user in enumerate(await users(session, 3)):
            await an_account(session, user, f"{number}.25")

        listed = (await as_staff.get("/accounts")).json()

        assert [each["balance"] for each in listed] == ["-3.75", "0.00", "0.25", "1.25", "2.25"]
        assert [each["name"] for each in listed[:2]] == ["Issued credit", "Sales"]
        assert [each["id"] for each in listed] == sorted(await balances(session))

    async def test_nobody_but_staff_sees_them(self, client: AsyncClient, as_customer: AsyncClient) -> None:
        assert_refused(await client.get("/accounts"), 401)
        assert_refused(await as_customer.get("/accounts"), 403)

    @pytest.mark.parametrize("size", [0, 30])
    async def test_takes_one_statement_whatever_their_number(
        self, as_staff: AsyncClient, session: AsyncSession, database: Database, size: int
    ) -> None:
        for user in await users(session, size):
            await an_account(session, user)

        with count_statements(database) as statements:
            response = await as_staff.get("/accounts")
        assert len(response.json()) == 2 + size
        assert len(statements) == 2  # the token, the accounts


class TestListTransactions:
    async def test_the_latest_comes_first(
        self,
        as_customer: AsyncClient,
        as_staff: AsyncClient,
        customer: User,
        other_customer: User,
        session: AsyncSession,
    ) -> None:
        own = await an_account(session, customer, "10.00")
        other = await an_account(session, other_customer, "10.00")
        sent = (await transfer(as_customer, other, "1.50", description="Happy birthday")).json()

        page = (await as_customer.get(f"/accounts/{own.id}/transactions")).json()

        assert [item["amount"] for item in page["items"]] == ["1.50", "10.00"]
        assert page["items"][0] == sent
        assert sent == {
            "id": sent["id"],
            "from_account_id": own.id,
            "to_account_id": other.id,
            "amount": "1.50",
            "description": "Happy birthday",
            "order_id": None,
            "created_at": sent["created_at"],
        }
        assert page == (await as_staff.get(f"/accounts/{own.id}/transactions")).json()

    async def test_of_others_an_account_does_not_exist(
        self, client: AsyncClient, as_customer: AsyncClient, other_customer: User, session: AsyncSession
    ) -> None:
        other = await an_account(session, other_customer, "10.00")
        sales = await shop_account(session, ShopAccount.SALES)

        for account_id in (other.id, sales.id, 1_000_000):
            assert_refused(await as_customer.get(f"/accounts/{account_id}/transactions"), 404)
        assert_refused(await client.get(f"/accounts/{other.id}/transactions"), 401)

    async def test_staff_see_those_of_the_shop(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await an_account(session, customer, "10.00")
        issued = await shop_account(session, ShopAccount.ISSUED)

        page = (await as_staff.get(f"/accounts/{issued.id}/transactions")).json()

        assert [item["amount"] for item in page["items"]] == ["10.00"]

    async def test_pages_and_cursors_show_each_once(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        account = await an_account(session, customer)
        for _ in range(5):
            await deposit(as_staff, account, "1.00")
        ids = [each.id for each in reversed(await transactions(session))]
        path = f"/accounts/{account.id}/transactions"

        pages = [(await as_staff.get(path, params={"page": n, "page_size": 2})).json() for n in (1, 2, 3)]
        assert [item["id"] for page in pages for item in page["items"]] == ids

        seen: list[int] = []
        cursor: str | None = ""
        while cursor is not None:
            page = (await as_staff.get(path, params={"cursor": cursor, "page_size": 2})).json()
            seen += [item["id"] for item in page["items"]]
            cursor = page["next_cursor"]
        assert seen == ids

    @pytest.mark.parametrize("size", [1, 30])
    async def test_takes_as_many_statements_whatever_its_size(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, database: Database, size: int
    ) -> None:
        own = await an_account(session, customer)
        sales = await shop_account(session, ShopAccount.SALES)
        for _ in range(size):
            await save(session, Transaction(from_account_id=sales.id, to_account_id=own.id, amount=Decimal(1)))

        with count_statements(database) as statements:
            response = await as_customer.get(f"/accounts/{own.id}/transactions", params={"page_size": 100})
        assert len(response.json()["items"]) == size
        assert len(statements) == 4  # the token, the account, the count, the transactions


class TestTransfer:
    async def test_credit_goes_from_ones_own_account_to_anothers(
        self, as_customer: AsyncClient, customer: User, other_customer: User, session: AsyncSession
    ) -> None:
        own = await an_account(session, customer, "10.00")
        other = await an_account(session, other_customer, "1.00")

        response = await transfer(as_customer, other, "9.99")

        assert response.status_code == 201
        changed = await balances(session)
        assert (changed[own.id], changed[other.id]) == (Decimal("0.01"), Decimal("10.99"))
        await assert_explained(session)

    async def test_the_receiver_is_told(
        self, as_customer: AsyncClient, customer: User, other_customer: User, session: AsyncSession
    ) -> None:
        await an_account(session, customer, "10.00")
        other = await an_account(session, other_customer)

        await transfer(as_customer, other, "9.99")

        (told,) = (await session.exec(select(Notification))).all()
        assert (told.user_id, told.kind) == (other_customer.id, NotificationKind.CREDIT_RECEIVED)
        assert "9.99" in told.message

    async def test_the_whole_balance_can_go_and_not_a_cent_more(
        self, as_customer: AsyncClient, customer: User, other_customer: User, session: AsyncSession
    ) -> None:
        own = await an_account(session, customer, "10.00")
        other = await an_account(session, other_customer)

        assert_refused(await transfer(as_customer, other, "10.01"), 409, "balance does not cover")
        assert len(await transactions(session)) == 1
        assert (await session.exec(select(Notification))).all() == []

        assert (await transfer(as_customer, other, "10.00")).status_code == 201
        assert_refused(await transfer(as_customer, other, "0.01"), 409, "balance does not cover")
        assert (await balances(session))[own.id] == 0
        await assert_explained(session)

    @pytest.mark.parametrize("first", ["sender", "receiver"])
    async def test_a_refusal_changes_nothing_whichever_account_is_older(
        self, as_customer: AsyncClient, customer: User, other_customer: User, session: AsyncSession, first: str
    ) -> None:
        """The older account is touched first, so it may have been given the amount before the other lacks it."""
        if first == "sender":
            await an_account(session, customer, "1.00")
        other = await an_account(session, other_customer)
        if first == "receiver":
            await an_account(session, customer, "1.00")
        before = await balances(session)

        assert_refused(await transfer(as_customer, other, "2.00"), 409, "balance does not cover")
        assert await balances(session) == before
        assert len(await transactions(session)) == 1

    async def test_staff_transfer_from_any_account(
        self, as_staff: AsyncClient, customer: User, other_customer: User, session: AsyncSession
    ) -> None:
        source = await an_account(session, customer, "10.00")
        target = await an_account(session, other_customer)
        sales = await shop_account(session, ShopAccount.SALES)

        assert (await transfer(as_staff, target, "4.00", from_account_id=source.id)).status_code == 201
        assert (await transfer(as_staff, sales, "6.00", from_account_id=source.id)).status_code == 201
        assert_refused(await transfer(as_staff, sales, "0.01", from_account_id=source.id), 409)

        changed = await balances(session)
        assert (changed[source.id], changed[target.id], changed[sales.id]) == (
            Decimal(0),
            Decimal("4.00"),
            Decimal("6.00"),
        )
        await assert_explained(session)

    async def test_the_accounts_of_the_shop_may_go_below_zero(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        target = await an_account(session, customer)
        sales = await shop_account(session, ShopAccount.SALES)

        assert (await transfer(as_staff, target, "5.00", from_account_id=sales.id)).status_code == 201
        assert (await balances(session))[sales.id] == Decimal("-5.00")

    async def test_from_anothers_account_is_not_found(
        self, client: AsyncClient, as_customer: AsyncClient, customer: User, other_customer: User, session: AsyncSession
    ) -> None:
        own = await an_account(session, customer)
        other = await an_account(session, other_customer, "10.00")
        sales = await shop_account(session, ShopAccount.SALES)
        before = await balances(session)

        for source_id in (other.id, sales.id, 1_000_000):
            assert_refused(await transfer(as_customer, own, "1.00", from_account_id=source_id), 404)
        assert_refused(await transfer(client, own, "1.00", from_account_id=other.id), 401)
        assert await balances(session) == before

    async def test_to_oneself_is_refused(self, as_customer: AsyncClient, customer: User, session: AsyncSession) -> None:
        own = await an_account(session, customer, "10.00")

        assert_refused(await transfer(as_customer, own, "1.00"), 422, "body.to_account_id")
        assert_refused(await transfer(as_customer, own, "1.00", from_account_id=own.id), 422, "body.to_account_id")
        assert len(await transactions(session)) == 1

    async def test_to_an_account_that_does_not_exist_is_refused(
        self, as_customer: AsyncClient, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        own = await an_account(session, customer, "10.00")
        nobodys = Account(id=1_000_000, name="Nobody's")

        assert_refused(await transfer(as_customer, nobodys, "1.00"), 422, "body.to_account_id")
        assert_refused(await transfer(as_staff, nobodys, "1.00", from_account_id=own.id), 422, "body.to_account_id")
        assert (await balances(session))[own.id] == Decimal("10.00")

    async def test_to_an_account_of_the_shop_is_for_staff(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        own = await an_account(session, customer, "10.00")

        for which in ShopAccount:
            account = await shop_account(session, which)
            assert_refused(await transfer(as_customer, account, "1.00"), 422, "there is no such account")
        assert (await balances(session))[own.id] == Decimal("10.00")

    async def test_to_an_erased_user_is_refused(
        self, as_customer: AsyncClient, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        own, erased = await an_account(session, customer, "50.00"), await erased_account(session)
        before = await transactions(session)

        for client in (as_customer, as_staff):
            response = await transfer(client, erased, "1.00", from_account_id=own.id)
            assert_refused(response, 422, "body.to_account_id: there is no such account")

        assert await transactions(session) == before
        await assert_explained(session)

    async def test_who_has_no_account_yet_has_nothing_to_give(
        self, as_customer: AsyncClient, other_customer: User, session: AsyncSession
    ) -> None:
        other = await an_account(session, other_customer)
        before = await balances(session)

        assert_refused(await transfer(as_customer, other, "0.01"), 409, "balance does not cover")
        assert await balances(session) == before

    @pytest.mark.parametrize("amount", NO_AMOUNT)
    async def test_no_amount_but_a_real_one(
        self, as_customer: AsyncClient, customer: User, other_customer: User, session: AsyncSession, amount: str
    ) -> None:
        await an_account(session, customer, "10.00")
        other = await an_account(session, other_customer)

        response = await as_customer.post(
            "/accounts/transfers",
            content=f'{{"to_account_id": {other.id}, "amount": {amount}}}',
            headers={"Content-Type": "application/json"},
        )

        assert_refused(response, 422, "body.amount")
        assert len(await transactions(session)) == 1

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"description": "x" * 201}, "body.description"),
            ({"to_account_id": 0}, "body.to_account_id"),
            ({"to_account_id": 2**63}, "body.to_account_id"),
            ({"to_account_id": None}, "body.to_account_id"),
            ({"from_account_id": "mine"}, "body.from_account_id"),
            ({"order_id": 1}, "body.order_id"),
            ({"created_at": "2026-01-01T00:00:00Z"}, "body.created_at"),
        ],
    )
    async def test_bad_input_is_refused(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, change: dict[str, Any], field: str
    ) -> None:
        await an_account(session, customer, "10.00")

        body = {"to_account_id": 1, "amount": "1.00", **change}
        assert_refused(await as_customer.post("/accounts/transfers", json=body), 422, field)

    async def test_a_balance_is_spent_once_however_many_try_at_once(
        self, as_customer: AsyncClient, customer: User, other_customer: User, session: AsyncSession
    ) -> None:
        own = await an_account(session, customer, "10.00")
        other = await an_account(session, other_customer)

        responses = await asyncio.gather(*(transfer(as_customer, other, "3.00") for _ in range(10)))

        await assert_explained(session)
        assert sorted(response.status_code for response in responses) == [201] * 3 + [409] * 7
        assert (await balances(session))[own.id] == Decimal("1.00")


class TestDeposit:
    async def test_staff_give_credit_that_the_shop_owes(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        account = await an_account(session, customer)
        issued = await shop_account(session, ShopAccount.ISSUED)

        response = await deposit(as_staff, account, "25.00", description="Sorry for the delay")

        assert response.status_code == 201
        given = response.json()
        assert (given["from_account_id"], given["to_account_id"]) == (issued.id, account.id)
        assert (given["amount"], given["description"]) == ("25.00", "Sorry for the delay")
        changed = await balances(session)
        assert (changed[account.id], changed[issued.id]) == (Decimal("25.00"), Decimal("-25.00"))
        await assert_explained(session)

    async def test_the_receiver_is_told(self, as_staff: AsyncClient, customer: User, session: AsyncSession) -> None:
        await deposit(as_staff, await an_account(session, customer), "25.00")

        (told,) = (await session.exec(select(Notification))).all()
        assert (told.user_id, told.kind) == (customer.id, NotificationKind.CREDIT_RECEIVED)

    async def test_nobody_but_staff_does(
        self, client: AsyncClient, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        account = await an_account(session, customer)

        assert_refused(await deposit(client, account, "25.00"), 401)
        assert_refused(await deposit(as_customer, account, "25.00"), 403)
        assert await transactions(session) == []

    async def test_to_an_account_that_does_not_exist_is_not_found(self, as_staff: AsyncClient) -> None:
        assert_refused(await deposit(as_staff, Account(id=1_000_000, name="Nobody's"), "25.00"), 404)

    async def test_to_an_erased_user_is_not_found(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        erased = await erased_account(session)
        before = await transactions(session)

        assert_refused(await deposit(as_staff, erased, "1.00"), 404)
        assert await transactions(session) == before

    async def test_to_the_account_that_it_comes_from_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        issued = await shop_account(session, ShopAccount.ISSUED)

        response = await deposit(as_staff, issued, "25.00")

        assert response.status_code == 422
        assert await transactions(session) == []

    @pytest.mark.parametrize("amount", NO_AMOUNT)
    async def test_no_amount_but_a_real_one(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession, amount: str
    ) -> None:
        account = await an_account(session, customer)

        response = await as_staff.post(
            f"/accounts/{account.id}/deposits",
            content=f'{{"amount": {amount}}}',
            headers={"Content-Type": "application/json"},
        )

        assert_refused(response, 422, "body.amount")
        assert await transactions(session) == []

    async def test_many_at_once_all_count(self, as_staff: AsyncClient, customer: User, session: AsyncSession) -> None:
        account = await an_account(session, customer)

        responses = await asyncio.gather(*(deposit(as_staff, account, "0.10") for _ in range(20)))

        assert {response.status_code for response in responses} == {201}
        assert (await balances(session))[account.id] == Decimal("2.00")
        await assert_explained(session)


class TestTheLedger:
    async def test_every_reading_comes_to_the_same_while_credit_goes_round(
        self,
        connect: Connect,
        as_staff: AsyncClient,
        database: Database,
        session: AsyncSession,
    ) -> None:
        people = await users(session, 8)
        accounts = [await an_account(session, user, "1000.00") for user in people]
        clients = [await connect(user) for user in people]
        choose, done = random.Random(7), asyncio.Event()
        readings: list[list[Decimal]] = []

        async def transfer_something() -> Response:
            sender, receiver = choose.sample(range(8), 2)
            return await transfer(clients[sender], accounts[receiver], f"{choose.randint(1, 60_000) / 100:.2f}")

        async def read_all_the_while() -> None:
            while not done.is_set():
                listed = (await as_staff.get("/accounts")).json()
                readings.append([Decimal(each["balance"]) for each in listed if each["user_id"] is not None])
                await asyncio.sleep(0.05)  # or the one event loop of this process would be busy with little else

        with patience(database):
            reader = asyncio.create_task(read_all_the_while())
            responses = await asyncio.gather(*(transfer_something() for _ in range(800)))
            done.set()
            await reader

        assert [response.text for response in responses if response.status_code not in {201, 409}] == []
        assert {sum(reading) for reading in readings} == {Decimal("8000.00")}
        assert min(min(reading) for reading in readings) >= 0
        assert len({tuple(reading) for reading in readings}) > 10  # it did read in between
        await assert_explained(session)
        statuses = [response.status_code for response in responses]
        refusals = {response.json()["detail"] for response in responses if response.status_code == 409}
        assert refusals == {"The balance does not cover this amount."}
        assert len(await transactions(session)) == 8 + statuses.count(201)
        assert await verify(database)
