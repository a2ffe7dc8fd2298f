"""POST /accounts/transfers: store credit goes from one account to another, and no user owes anything."""

import asyncio
from decimal import Decimal
from typing import Any

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
from tests.routes.accounts.support import INVALID_AMOUNTS, an_erased_account, transfer
from tests.seed import all_rows
from tests.support import assert_refused


class TestTransfer:
    async def test_a_customer_transfers_store_credit_to_another_user(
        self, as_customer: AsyncClient, customer: User, other_customer: User, session: AsyncSession
    ) -> None:
        own = await an_account(session, customer, "10.00")
        other = await an_account(session, other_customer, "1.00")

        response = await transfer(as_customer, other, "9.99")

        assert response.status_code == 201
        changed = await balances(session)
        assert (changed[own.id], changed[other.id]) == (Decimal("0.01"), Decimal("10.99"))
        await assert_balances_equal_transactions(session)

    async def test_the_receiver_gets_a_notification(
        self, as_customer: AsyncClient, customer: User, other_customer: User, session: AsyncSession
    ) -> None:
        await an_account(session, customer, "10.00")
        other = await an_account(session, other_customer)

        await transfer(as_customer, other, "9.99")

        (notification,) = (await session.exec(select(Notification))).all()
        assert (notification.user_id, notification.kind) == (other_customer.id, NotificationKind.CREDIT_RECEIVED)
        assert "9.99" in notification.message

    async def test_the_whole_balance_can_be_transferred_and_not_a_cent_more(
        self, as_customer: AsyncClient, customer: User, other_customer: User, session: AsyncSession
    ) -> None:
        own = await an_account(session, customer, "10.00")
        other = await an_account(session, other_customer)

        assert_refused(await transfer(as_customer, other, "10.01"), 409, "balance is too low")
        assert len(await rows_of(session, Transaction)) == 1
        assert (await session.exec(select(Notification))).all() == []

        assert (await transfer(as_customer, other, "10.00")).status_code == 201
        assert_refused(await transfer(as_customer, other, "0.01"), 409, "balance is too low")
        assert (await balances(session))[own.id] == 0
        await assert_balances_equal_transactions(session)

    @pytest.mark.parametrize("first", ["sender", "receiver"])
    async def test_a_refused_transfer_changes_nothing_whichever_account_is_older(
        self, as_customer: AsyncClient, customer: User, other_customer: User, session: AsyncSession, first: str
    ) -> None:
        """The older account changes first, so the receiver may get the amount before the sender is checked."""
        if first == "sender":
            await an_account(session, customer, "1.00")
        other = await an_account(session, other_customer)
        if first == "receiver":
            await an_account(session, customer, "1.00")
        before = await balances(session)

        assert_refused(await transfer(as_customer, other, "2.00"), 409, "balance is too low")
        assert await balances(session) == before
        assert len(await rows_of(session, Transaction)) == 1

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
        await assert_balances_equal_transactions(session)

    async def test_a_shop_account_may_go_below_zero(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        target = await an_account(session, customer)
        sales = await shop_account(session, ShopAccount.SALES)

        assert (await transfer(as_staff, target, "5.00", from_account_id=sales.id)).status_code == 201
        assert (await balances(session))[sales.id] == Decimal("-5.00")

    async def test_the_account_of_another_user_is_not_found_as_the_source_of_a_transfer(
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

    async def test_a_transfer_to_the_same_account_is_refused(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        own = await an_account(session, customer, "10.00")

        assert_refused(await transfer(as_customer, own, "1.00"), 422, "body.to_account_id")
        assert_refused(await transfer(as_customer, own, "1.00", from_account_id=own.id), 422, "body.to_account_id")
        assert len(await rows_of(session, Transaction)) == 1

    async def test_a_transfer_to_an_account_that_does_not_exist_is_refused(
        self, as_customer: AsyncClient, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        own = await an_account(session, customer, "10.00")
        unknown = Account(id=1_000_000, name="Unknown")

        assert_refused(await transfer(as_customer, unknown, "1.00"), 422, "body.to_account_id")
        assert_refused(await transfer(as_staff, unknown, "1.00", from_account_id=own.id), 422, "body.to_account_id")
        assert (await balances(session))[own.id] == Decimal("10.00")

    async def test_a_transfer_from_a_customer_to_a_shop_account_is_refused(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        own = await an_account(session, customer, "10.00")

        for which in ShopAccount:
            account = await shop_account(session, which)
            assert_refused(await transfer(as_customer, account, "1.00"), 422, "there is no such account")
        assert (await balances(session))[own.id] == Decimal("10.00")

    async def test_a_transfer_to_an_erased_user_is_refused(
        self, as_customer: AsyncClient, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        own, erased = await an_account(session, customer, "50.00"), await an_erased_account(session)
        before = await all_rows(session)

        for client in (as_customer, as_staff):
            response = await transfer(client, erased, "1.00", from_account_id=own.id)
            assert_refused(response, 422, "body.to_account_id: there is no such account")

        assert await all_rows(session) == before
        await assert_balances_equal_transactions(session)

    async def test_a_transfer_from_a_user_without_an_account_is_refused(
        self, as_customer: AsyncClient, other_customer: User, session: AsyncSession
    ) -> None:
        other = await an_account(session, other_customer)
        before = await balances(session)

        assert_refused(await transfer(as_customer, other, "0.01"), 409, "balance is too low")
        assert await balances(session) == before

    @pytest.mark.parametrize("amount", INVALID_AMOUNTS)
    async def test_a_transfer_of_an_invalid_amount_is_refused(
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
        assert len(await rows_of(session, Transaction)) == 1

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
        ids=lambda value: ascii(value)[:40],
    )
    async def test_a_transfer_with_bad_input_is_refused(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, change: dict[str, Any], field: str
    ) -> None:
        await an_account(session, customer, "10.00")

        body = {"to_account_id": 1, "amount": "1.00", **change}
        assert_refused(await as_customer.post("/accounts/transfers", json=body), 422, field)

    async def test_simultaneous_transfers_spend_a_balance_once(
        self, as_customer: AsyncClient, customer: User, other_customer: User, session: AsyncSession
    ) -> None:
        own = await an_account(session, customer, "10.00")
        other = await an_account(session, other_customer)

        responses = await asyncio.gather(*(transfer(as_customer, other, "3.00") for _ in range(10)))

        await assert_balances_equal_transactions(session)
        assert sorted(response.status_code for response in responses) == [201] * 3 + [409] * 7
        assert (await balances(session))[own.id] == Decimal("1.00")
