"""POST /orders/{id}/payments: never more is paid than is due, and an order that is paid in full is confirmed."""

from decimal import Decimal
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.account import ShopAccount
from api.models.notification import NotificationKind
from api.models.order import Order, OrderStatus
from api.models.order_event import OrderEvent
from api.models.payment import Payment
from api.models.transaction import Transaction
from api.models.user import User
from tests.books import assert_balances_equal_transactions, balance_of, rows_of, shop_account
from tests.factories import a_payment, an_account, an_order
from tests.routes.payments.support import notification_kinds, pay_order, refund_payment, statuses_of
from tests.seed import all_rows
from tests.support import assert_refused

OTHER_METHODS = ["card", "bank_transfer", "cash"]
"""The methods other than store credit."""


class TestPayOrder:
    @pytest.mark.parametrize("method", OTHER_METHODS)
    async def test_staff_record_a_payment(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession, method: str
    ) -> None:
        order = await an_order(session, customer)

        response = await pay_order(as_staff, order, "40.00", method, reference="R-1")

        assert response.status_code == 201
        (payment,) = await rows_of(session, Payment)
        assert response.json() == {
            "id": payment.id,
            "order_id": order.id,
            "method": method,
            "amount": "40.00",
            "reference": "R-1",
            "status": "completed",
            "refunded_amount": "0.00",
            "created_at": response.json()["created_at"],
        }
        assert (payment.order_id, payment.method, payment.amount) == (order.id, method, Decimal("40.00"))
        (paid,) = await rows_of(session, Order)
        assert (paid.paid_amount, paid.status) == (Decimal("40.00"), OrderStatus.PENDING)
        assert await rows_of(session, Transaction) == []

    async def test_the_owner_pays_with_store_credit(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        account = await an_account(session, customer, "70.00")
        order = await an_order(session, customer)

        response = await pay_order(as_customer, order, "60.00", "store_credit")

        assert response.status_code == 201
        assert await balance_of(session, customer) == Decimal("10.00")
        transaction = (await rows_of(session, Transaction))[-1]
        sales = await shop_account(session, ShopAccount.SALES)
        assert (transaction.from_account_id, transaction.to_account_id) == (account.id, sales.id)
        assert (transaction.amount, transaction.order_id) == (Decimal("60.00"), order.id)
        assert transaction.description == f"Payment for {order.order_number}"
        await assert_balances_equal_transactions(session)

    async def test_staff_pay_their_own_orders_with_their_own_store_credit(
        self, as_staff: AsyncClient, staff: User, session: AsyncSession
    ) -> None:
        await an_account(session, staff, "100.00")
        order = await an_order(session, staff)

        assert (await pay_order(as_staff, order, "100.00", "store_credit")).status_code == 201
        assert await balance_of(session, staff) == 0

    @pytest.mark.parametrize("method", OTHER_METHODS)
    async def test_the_owner_cannot_record_a_payment_by_another_method(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, method: str
    ) -> None:
        order = await an_order(session, customer)
        before = await all_rows(session)

        assert_refused(await pay_order(as_customer, order, "40.00", method), 403, "Only staff")
        assert await all_rows(session) == before

    async def test_staff_cannot_spend_the_store_credit_of_a_customer(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await an_account(session, customer, "100.00")
        order = await an_order(session, customer)
        before = await all_rows(session)

        assert_refused(await pay_order(as_staff, order, "40.00", "store_credit"), 403, "Only the owner")
        assert await all_rows(session) == before

    @pytest.mark.parametrize("method", ["card", "store_credit"])
    async def test_an_order_of_another_user_does_not_exist_for_a_customer(
        self,
        client: AsyncClient,
        as_other_customer: AsyncClient,
        other_customer: User,
        customer: User,
        session: AsyncSession,
        method: str,
    ) -> None:
        await an_account(session, other_customer, "100.00")
        order = await an_order(session, customer)
        before = await all_rows(session)

        assert_refused(await pay_order(as_other_customer, order, "40.00", method), 404)
        assert_refused(await pay_order(client, order, "40.00", method), 401)
        assert await all_rows(session) == before

    async def test_an_order_that_does_not_exist_is_not_found(self, as_staff: AsyncClient) -> None:
        response = await as_staff.post("/orders/1000000/payments", json={"method": "card", "amount": 1})
        assert_refused(response, 404)

    async def test_an_order_is_confirmed_when_it_is_paid_in_full(
        self, as_staff: AsyncClient, staff: User, customer: User, session: AsyncSession
    ) -> None:
        order = await an_order(session, customer)

        await pay_order(as_staff, order, "100.00")

        (confirmed,) = await rows_of(session, Order)
        assert (confirmed.status, confirmed.paid_amount) == (OrderStatus.CONFIRMED, Decimal("100.00"))
        _, event = await rows_of(session, OrderEvent)
        assert (event.order_id, event.from_status, event.to_status) == (order.id, "pending", "confirmed")
        assert event.user_id == staff.id
        assert await notification_kinds(session, customer) == [
            NotificationKind.PAYMENT_RECEIVED,
            NotificationKind.ORDER_CONFIRMED,
        ]

    async def test_an_order_is_confirmed_when_partial_payments_reach_its_total(
        self, as_staff: AsyncClient, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await an_account(session, customer, "29.99")
        order = await an_order(session, customer)
        statuses = []

        for client, amount, method in (
            (as_staff, "70.00", "card"),
            (as_customer, "29.99", "store_credit"),
            (as_staff, "0.01", "cash"),
        ):
            assert (await pay_order(client, order, amount, method)).status_code == 201
            statuses += [each.status for each in await rows_of(session, Order)]

        assert statuses == ["pending", "pending", "confirmed"]
        assert await statuses_of(session, order) == [OrderStatus.PENDING, OrderStatus.CONFIRMED]

    async def test_an_order_is_not_confirmed_by_payments_that_were_refunded(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        order = await an_order(session, customer)
        await pay_order(as_staff, order, "60.00")
        (payment,) = await rows_of(session, Payment)
        assert (await refund_payment(as_staff, payment, "60.00")).status_code == 201

        assert (await pay_order(as_staff, order, "40.00")).status_code == 201

        (unconfirmed,) = await rows_of(session, Order)
        assert unconfirmed.status is OrderStatus.PENDING
        assert await statuses_of(session, order) == [OrderStatus.PENDING]
        assert NotificationKind.ORDER_CONFIRMED not in await notification_kinds(session, customer)

    async def test_an_order_is_confirmed_whatever_was_refunded_of_another_order(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        other, order = await an_order(session, customer), await an_order(session, customer)
        await refund_payment(as_staff, await a_payment(session, other, "60.00"), "60.00")

        await pay_order(as_staff, order, "60.00")
        await pay_order(as_staff, order, "40.00")

        assert [each.status for each in await rows_of(session, Order)] == [OrderStatus.PENDING, OrderStatus.CONFIRMED]

    @pytest.mark.parametrize("status", [OrderStatus.CONFIRMED, OrderStatus.SHIPPED, OrderStatus.DELIVERED])
    async def test_a_payment_does_not_change_the_status_of_a_confirmed_or_later_order(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession, status: OrderStatus
    ) -> None:
        order = await an_order(session, customer, status=status)
        before = await statuses_of(session, order)

        assert (await pay_order(as_staff, order, "100.00")).status_code == 201

        assert [each.status for each in await rows_of(session, Order)] == [status]
        assert await statuses_of(session, order) == before

    @pytest.mark.parametrize(("paid", "amount", "due"), [("0", "100.01", "100.00"), ("60.00", "40.01", "40.00")])
    async def test_a_payment_of_more_than_is_due_is_refused(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession, paid: str, amount: str, due: str
    ) -> None:
        order = await an_order(session, customer, paid_amount=paid)
        before = await all_rows(session)

        assert_refused(await pay_order(as_staff, order, amount), 409, f"due for this order ({due}).")
        assert await all_rows(session) == before

    async def test_a_payment_of_an_order_that_is_paid_in_full_is_refused(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        order = await an_order(session, customer)
        await pay_order(as_staff, order, "100.00")

        assert_refused(
            await pay_order(as_staff, order, "0.01"), 409, "The amount exceeds the amount due for this order (0.00)."
        )
        assert len(await rows_of(session, Payment)) == 1

    async def test_a_cancelled_order_cannot_be_paid(
        self, as_staff: AsyncClient, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await an_account(session, customer, "100.00")
        order = await an_order(session, customer, status=OrderStatus.CANCELLED)
        before = await all_rows(session)

        assert_refused(await pay_order(as_staff, order, "100.00"), 409, "cancelled")
        assert_refused(await pay_order(as_customer, order, "100.00", "store_credit"), 409, "cancelled")
        assert await all_rows(session) == before

    async def test_a_reference_is_accepted_once_per_method(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        first, second = await an_order(session, customer), await an_order(session, customer)
        assert (await pay_order(as_staff, first, "10.00", "card", reference="R-1")).status_code == 201
        before = await all_rows(session)

        for order in (first, second):
            response = await pay_order(as_staff, order, "10.00", "card", reference="R-1")
            assert_refused(response, 409, "A payment with this method and reference already exists.")
        assert await all_rows(session) == before

        assert (await pay_order(as_staff, first, "10.00", "cash", reference="R-1")).status_code == 201
        assert (await pay_order(as_staff, first, "10.00", "card", reference="r-1")).status_code == 201

    async def test_payments_without_a_reference_are_never_duplicates(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        order = await an_order(session, customer)

        responses = [await pay_order(as_staff, order, "10.00", reference=None) for _ in range(3)]

        assert [response.status_code for response in responses] == [201] * 3

    async def test_a_payment_is_refused_when_store_credit_is_short(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await an_account(session, customer, "59.99")
        order = await an_order(session, customer)
        before = await all_rows(session)

        assert_refused(await pay_order(as_customer, order, "60.00", "store_credit"), 409, "balance is too low")
        assert await all_rows(session) == before

    async def test_a_user_without_store_credit_is_refused_and_gets_no_account(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        order = await an_order(session, customer)
        before = await all_rows(session)

        assert_refused(await pay_order(as_customer, order, "0.01", "store_credit"), 409, "balance is too low")
        assert await all_rows(session) == before

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"method": "shells"}, "body.method"),
            ({"method": None}, "body.method"),
            ({"amount": "0"}, "body.amount"),
            ({"amount": "-1"}, "body.amount"),
            ({"amount": "0.001"}, "body.amount"),
            ({"amount": "10000000000"}, "body.amount"),
            ({"amount": "NaN"}, "body.amount"),
            ({"amount": None}, "body.amount"),
            ({"reference": ""}, "body.reference"),
            ({"reference": " "}, "body.reference"),
            ({"reference": "x" * 101}, "body.reference"),
            ({"reference": "a\0b"}, "body.reference"),
            ({"status": "refunded"}, "body.status"),
            ({"refunded_amount": "1"}, "body.refunded_amount"),
            ({"order_id": 1}, "body.order_id"),
        ],
        ids=lambda value: ascii(value)[:40],
    )
    async def test_a_payment_with_bad_input_is_refused(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession, change: dict[str, Any], field: str
    ) -> None:
        order = await an_order(session, customer)

        body = {"method": "card", "amount": "1.00", **change}
        response = await as_staff.post(f"/orders/{order.id}/payments", json=body)

        assert_refused(response, 422, field)
        assert await rows_of(session, Payment) == []
