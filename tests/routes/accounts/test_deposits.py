"""POST /accounts/{id}/deposits: staff give store credit, which the account of issued credit owes."""

import asyncio
from decimal import Decimal

import pytest
from httpx import AsyncClient
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.account import Account, ShopAccount
from api.models.notification import Notification, NotificationKind
from api.models.transaction import Transaction
from api.models.user import User
from tests.books import assert_balances_equal_transactions, balances, rows_of, shop_account
from tests.factories import an_account
from tests.routes.accounts.support import INVALID_AMOUNTS, an_erased_account, deposit
from tests.seed import all_rows
from tests.support import assert_refused


class TestDeposit:
    async def test_a_deposit_comes_from_the_account_of_issued_credit(
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
        await assert_balances_equal_transactions(session)

    async def test_the_receiver_gets_a_notification(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await deposit(as_staff, await an_account(session, customer), "25.00")

        (notification,) = (await session.exec(select(Notification))).all()
        assert (notification.user_id, notification.kind) == (customer.id, NotificationKind.CREDIT_RECEIVED)

    async def test_only_staff_make_deposits(
        self, client: AsyncClient, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        account = await an_account(session, customer)

        assert_refused(await deposit(client, account, "25.00"), 401)
        assert_refused(await deposit(as_customer, account, "25.00"), 403)
        assert await rows_of(session, Transaction) == []

    async def test_a_deposit_to_an_account_that_does_not_exist_is_not_found(self, as_staff: AsyncClient) -> None:
        assert_refused(await deposit(as_staff, Account(id=1_000_000, name="Unknown"), "25.00"), 404)

    async def test_a_deposit_to_an_erased_user_is_not_found(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        erased = await an_erased_account(session)
        before = await all_rows(session)

        assert_refused(await deposit(as_staff, erased, "1.00"), 404)
        assert await all_rows(session) == before

    async def test_a_deposit_to_the_account_of_issued_credit_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        issued = await shop_account(session, ShopAccount.ISSUED)

        response = await deposit(as_staff, issued, "25.00")

        assert response.status_code == 422
        assert await rows_of(session, Transaction) == []

    @pytest.mark.parametrize("amount", INVALID_AMOUNTS)
    async def test_a_deposit_of_an_invalid_amount_is_refused(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession, amount: str
    ) -> None:
        account = await an_account(session, customer)

        response = await as_staff.post(
            f"/accounts/{account.id}/deposits",
            content=f'{{"amount": {amount}}}',
            headers={"Content-Type": "application/json"},
        )

        assert_refused(response, 422, "body.amount")
        assert await rows_of(session, Transaction) == []

    async def test_simultaneous_deposits_all_count(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        account = await an_account(session, customer)

        responses = await asyncio.gather(*(deposit(as_staff, account, "0.10") for _ in range(20)))

        assert {response.status_code for response in responses} == {201}
        assert (await balances(session))[account.id] == Decimal("2.00")
        await assert_balances_equal_transactions(session)
