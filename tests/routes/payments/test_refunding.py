"""POST /payments/{id}/refunds: never more is refunded than was paid."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.notification import Notification, NotificationKind
from api.models.payment import Payment, PaymentStatus
from api.models.refund import Refund
from api.models.transaction import Transaction
from api.models.user import User
from api.rules.payments import MAX_REFUNDS
from tests.books import assert_balances_equal_transactions, balance_of, rows_of
from tests.factories import a_payment, a_refund, an_account, an_order
from tests.routes.payments.support import pay_order, refund_payment
from tests.seed import all_rows
from tests.support import assert_refused


class TestRefundPayment:
    async def test_staff_refund_a_part_of_a_payment(
        self, as_staff: AsyncClient, staff: User, customer: User, session: AsyncSession
    ) -> None:
        payment = await a_payment(session, await an_order(session, customer), "40.00")

        response = await refund_payment(as_staff, payment, "15.50")

        assert response.status_code == 201
        (refund,) = await rows_of(session, Refund)
        assert response.json() == {
            "id": refund.id,
            "payment_id": payment.id,
            "amount": "15.50",
            "reason": "Scratched",
            "created_at": response.json()["created_at"],
        }
        assert (refund.amount, refund.user_id) == (Decimal("15.50"), staff.id)
        (refunded,) = await rows_of(session, Payment)
        assert (refunded.refunded_amount, refunded.status) == (Decimal("15.50"), PaymentStatus.COMPLETED)
        assert await rows_of(session, Transaction) == []

    async def test_a_payment_gets_the_status_refunded_when_all_of_it_is_refunded(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        order = await an_order(session, customer)
        payment = await a_payment(session, order, "40.00")

        statuses = []
        for amount in ("15.00", "25.00"):
            await refund_payment(as_staff, payment, amount)
            statuses += [each.status for each in await rows_of(session, Payment)]

        assert statuses == ["completed", "refunded"]
        (listed,) = (await as_staff.get(f"/orders/{order.id}/payments")).json()["items"]
        assert (listed["status"], listed["refunded_amount"]) == ("refunded", "40.00")

    @pytest.mark.parametrize(("refunded", "amount", "left"), [(None, "40.01", "40.00"), ("30.00", "10.01", "10.00")])
    async def test_a_refund_of_more_than_is_left_is_refused(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession, refunded: str | None, amount: str, left: str
    ) -> None:
        payment = await a_payment(session, await an_order(session, customer), "40.00")
        if refunded:
            await a_refund(session, payment, refunded)
        before = await all_rows(session)

        assert_refused(
            await refund_payment(as_staff, payment, amount),
            409,
            f"The amount exceeds the refundable amount of this payment ({left}).",
        )
        assert await all_rows(session) == before

    async def test_a_payment_has_a_hundred_refunds_at_most_and_the_last_one_takes_the_rest(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        payment = await a_payment(session, await an_order(session, customer))
        for _ in range(MAX_REFUNDS):
            await a_refund(session, payment, "0.01")

        refused = await refund_payment(as_staff, payment, "0.01")
        rest = await refund_payment(as_staff, payment, "99.00")

        assert_refused(refused, 409, "at most 100 refunds in part: refund all that is left of it")
        assert rest.status_code == 201

    async def test_a_refund_of_store_credit_goes_back_to_the_account_of_the_customer(
        self, as_staff: AsyncClient, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await an_account(session, customer, "100.00")
        order = await an_order(session, customer)
        await pay_order(as_customer, order, "60.00", "store_credit")
        (payment,) = await rows_of(session, Payment)

        assert (await refund_payment(as_staff, payment, "20.00")).status_code == 201

        assert await balance_of(session, customer) == Decimal("60.00")
        transaction = (await rows_of(session, Transaction))[-1]
        assert (transaction.amount, transaction.order_id) == (Decimal("20.00"), order.id)
        assert transaction.description == f"Refund of {order.order_number}"
        await assert_balances_equal_transactions(session)

    async def test_the_customer_gets_a_notification_of_a_refund(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        order = await an_order(session, customer)
        payment = await a_payment(session, order, "40.00")

        await refund_payment(as_staff, payment, "15.00")

        (notification,) = await rows_of(session, Notification)
        assert (notification.user_id, notification.order_id) == (customer.id, order.id)
        assert notification.kind is NotificationKind.PAYMENT_REFUNDED
        assert "15.00" in notification.message
        assert order.order_number in notification.message

    async def test_only_staff_refund_payments(
        self, client: AsyncClient, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        payment = await a_payment(session, await an_order(session, customer), "40.00")

        assert_refused(await refund_payment(client, payment, "1.00"), 401)
        assert_refused(await refund_payment(as_customer, payment, "1.00"), 403)
        assert await rows_of(session, Refund) == []

    async def test_a_payment_that_does_not_exist_is_not_found(self, as_staff: AsyncClient) -> None:
        assert_refused(await as_staff.post("/payments/1000000/refunds", json={"amount": 1, "reason": "x"}), 404)

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"amount": 0}, "body.amount"),
            ({"amount": -1}, "body.amount"),
            ({"amount": "0.001"}, "body.amount"),
            ({"reason": ""}, "body.reason"),
            ({"reason": None}, "body.reason"),
            ({"reason": "x" * 201}, "body.reason"),
            ({"payment_id": 1}, "body.payment_id"),
            ({"user_id": 1}, "body.user_id"),
        ],
        ids=lambda value: ascii(value)[:40],
    )
    async def test_a_refund_with_bad_input_is_refused(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession, change: dict[str, Any], field: str
    ) -> None:
        payment = await a_payment(session, await an_order(session, customer), "40.00")

        body = {"amount": "1.00", "reason": "Scratched", **change}
        response = await as_staff.post(f"/payments/{payment.id}/refunds", json=body)

        assert_refused(response, 422, field)
        assert await rows_of(session, Refund) == []

    async def test_one_of_two_simultaneous_refunds_is_refused_when_both_exceed_the_payment(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        for _ in range(5):
            payment = await a_payment(session, await an_order(session, customer), "100.00")
            responses = await asyncio.gather(*(refund_payment(as_staff, payment, "60.00") for _ in range(2)))
            assert sorted(response.status_code for response in responses) == [201, 409]
        assert {each.refunded_amount for each in await rows_of(session, Payment)} == {Decimal("60.00")}
        assert len(await rows_of(session, Refund)) == 5

    async def test_many_simultaneous_refunds_return_no_more_store_credit_than_was_paid(
        self, as_staff: AsyncClient, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await an_account(session, customer, "100.00")
        await pay_order(as_customer, await an_order(session, customer), "100.00", "store_credit")
        (payment,) = await rows_of(session, Payment)

        responses = await asyncio.gather(*(refund_payment(as_staff, payment, "15.00") for _ in range(10)))

        assert sorted(response.status_code for response in responses) == [201] * 6 + [409] * 4
        assert await balance_of(session, customer) == Decimal("90.00")
        await assert_balances_equal_transactions(session)
