"""/accounts: who may do what with accounts, and how accounts and their transactions are read."""

import asyncio
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.account import Account, ShopAccount
from api.models.transaction import Transaction
from api.models.user import User
from tests import world
from tests.books import balances, rows_of, shop_account
from tests.factories import a_transaction, an_account
from tests.lists import walk
from tests.routes.accounts.support import deposit, transfer
from tests.support import assert_refused, count_statements

ACCESS = """
                                                   nobody  owner  other  staff
GET    /accounts                                      401    403    403    200
GET    /accounts/stats/summary                        401    403    403    200
GET    /accounts/me                                   401    200    200    200
GET    /accounts/{id}/transactions                    401    200    404    200
POST   /accounts/transfers                            401    201    201    201
POST   /accounts/transfers  (from the owner's)        401    201    404    201
POST   /accounts/transfers  (to the shop's)           401    422    422    201
POST   /accounts/{id}/deposits                        401    403    403    201
"""

TO_A_FOURTH = {"amount": "5.00", "to_account_id": world.FOURTH_ACCOUNT}

REQUESTS: dict[str, dict[str, Any]] = {
    "POST /accounts/transfers": {"json": TO_A_FOURTH},
    "POST /accounts/transfers (from the owner's)": {"json": {**TO_A_FOURTH, "from_account_id": world.OWNER_ACCOUNT}},
    "POST /accounts/transfers (to the shop's)": {"json": {"amount": "5.00", "to_account_id": 1}},
    "POST /accounts/{id}/deposits": {"json": {"amount": "5.00"}},
}
"""What is sent on a line of `ACCESS`, and what stands in the path where it is not the row of the world."""


class TestReadMyAccount:
    async def test_the_first_request_adds_an_account(
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

    async def test_ten_simultaneous_first_requests_add_one_account(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        responses = await asyncio.gather(*(as_customer.get("/accounts/me") for _ in range(10)))

        (account,) = (await session.exec(select(Account).where(Account.user_id == customer.id))).all()
        assert {response.json()["id"] for response in responses} == {account.id}

    async def test_the_answer_shows_the_balance(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await an_account(session, customer, "12.50")

        assert (await as_customer.get("/accounts/me")).json()["balance"] == "12.50"

    async def test_an_anonymous_request_is_refused(self, client: AsyncClient) -> None:
        assert_refused(await client.get("/accounts/me"), 401)


class TestListAccounts:
    async def test_the_balances_of_all_accounts_add_up_to_zero(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        for number in range(3):
            await an_account(session, balance=f"{number}.25")

        listed = (await as_staff.get("/accounts")).json()["items"]

        assert [each["balance"] for each in listed] == ["-3.75", "0.00", "0.25", "1.25", "2.25"]
        assert [each["name"] for each in listed[:2]] == ["Issued credit", "Sales"]
        assert [each["id"] for each in listed] == sorted(await balances(session))

    async def test_only_staff_list_accounts(self, client: AsyncClient, as_customer: AsyncClient) -> None:
        assert_refused(await client.get("/accounts"), 401)
        assert_refused(await as_customer.get("/accounts"), 403)

    @pytest.mark.parametrize("size", [0, 30])
    async def test_a_list_takes_two_statements_whatever_its_size(
        self, as_staff: AsyncClient, session: AsyncSession, database: Database, size: int
    ) -> None:
        for _ in range(size):
            await an_account(session)

        with count_statements(database) as statements:
            response = await as_staff.get("/accounts")
        assert response.json()["total"] == 2 + size
        assert len(statements) == 2  # for the token and the accounts

    async def test_accounts_are_listed_in_parts(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        for _ in range(5):
            await an_account(session)
        ids = sorted(await balances(session))

        pages = [(await as_staff.get("/accounts", params={"page": n, "page_size": 3})).json() for n in (1, 2, 3)]

        assert [each["id"] for page in pages for each in page["items"]] == ids
        assert [page["total"] for page in pages] == [7, 7, 7]
        assert [each["id"] for each in await walk(as_staff, "/accounts", page_size=3)] == ids


class TestReadAccountStats:
    async def test_a_shop_without_credit_has_two_empty_accounts(self, as_staff: AsyncClient) -> None:
        assert (await as_staff.get("/accounts/stats/summary")).json() == {
            "accounts": 2,
            "customer_accounts": 0,
            "total_balance": "0.00",
            "customer_balance": "0.00",
            "issued_balance": "0.00",
            "sales_balance": "0.00",
        }

    async def test_the_sums_of_all_accounts_are_of_one_moment(
        self, as_staff: AsyncClient, session: AsyncSession, database: Database
    ) -> None:
        credit = await an_account(session, balance="100.00")
        await an_account(session, balance="0.05")
        await a_transaction(session, credit, await shop_account(session, ShopAccount.SALES), "30.01")

        with count_statements(database) as statements:
            stats = (await as_staff.get("/accounts/stats/summary")).json()

        assert stats == {
            "accounts": 4,
            "customer_accounts": 2,
            "total_balance": "0.00",
            "customer_balance": "70.04",
            "issued_balance": "-100.05",
            "sales_balance": "30.01",
        }
        assert len(statements) == 2  # for the token and the sums

    async def test_only_staff_read_the_sums(self, client: AsyncClient, as_customer: AsyncClient) -> None:
        assert_refused(await client.get("/accounts/stats/summary"), 401)
        assert_refused(await as_customer.get("/accounts/stats/summary"), 403)


class TestListTransactions:
    async def test_the_newest_transaction_comes_first(
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

    async def test_an_account_of_another_user_does_not_exist_for_a_customer(
        self, client: AsyncClient, as_customer: AsyncClient, other_customer: User, session: AsyncSession
    ) -> None:
        other = await an_account(session, other_customer, "10.00")
        sales = await shop_account(session, ShopAccount.SALES)

        for account_id in (other.id, sales.id, 1_000_000):
            assert_refused(await as_customer.get(f"/accounts/{account_id}/transactions"), 404)
        assert_refused(await client.get(f"/accounts/{other.id}/transactions"), 401)

    async def test_staff_see_the_transactions_of_a_shop_account(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await an_account(session, customer, "10.00")
        issued = await shop_account(session, ShopAccount.ISSUED)

        page = (await as_staff.get(f"/accounts/{issued.id}/transactions")).json()

        assert [item["amount"] for item in page["items"]] == ["10.00"]

    async def test_numbered_pages_and_cursor_pages_show_each_transaction_once(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        account = await an_account(session, customer)
        for _ in range(5):
            await deposit(as_staff, account, "1.00")
        ids = [each.id for each in reversed(await rows_of(session, Transaction))]
        path = f"/accounts/{account.id}/transactions"

        pages = [(await as_staff.get(path, params={"page": n, "page_size": 2})).json() for n in (1, 2, 3)]
        assert [item["id"] for page in pages for item in page["items"]] == ids

        seen = [row["id"] for row in await walk(as_staff, path, page_size=2)]
        assert seen == ids

    @pytest.mark.parametrize("size", [1, 30])
    async def test_a_list_takes_three_statements_whatever_its_size(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, database: Database, size: int
    ) -> None:
        own = await an_account(session, customer)
        sales = await shop_account(session, ShopAccount.SALES)
        for _ in range(size):
            await a_transaction(session, sales, own, "1.00")

        with count_statements(database) as statements:
            response = await as_customer.get(f"/accounts/{own.id}/transactions", params={"page_size": 100})
        assert len(response.json()["items"]) == size
        assert len(statements) == 3  # for the token, the account, the count and the transactions
