"""POST /orders/{id}/payments, many times at once: nothing is paid, spent or confirmed twice."""

import asyncio
from decimal import Decimal

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.notification import NotificationKind
from api.models.order import Order, OrderStatus
from api.models.payment import Payment, PaymentMethod
from api.models.user import User
from tests.books import assert_balances_equal_transactions, balance_of, rows_of
from tests.factories import an_account, an_order
from tests.routes.payments.support import notification_kinds, pay_order, statuses_of
from tests.support import assert_refused


class TestSimultaneousPayments:
    @pytest.mark.parametrize("method", ["card", "store_credit"])
    async def test_one_of_two_simultaneous_payments_is_refused_when_both_exceed_what_is_due(
        self, as_staff: AsyncClient, as_customer: AsyncClient, customer: User, session: AsyncSession, method: str
    ) -> None:
        await an_account(session, customer, "600.00")
        payer = as_customer if method == "store_credit" else as_staff
        for number in range(6):
            order = await an_order(session, customer)
            both = [pay_order(as_staff, order, "60.00"), pay_order(payer, order, "60.00", method)]
            responses = await asyncio.gather(*(both if number % 2 else reversed(both)))
            assert sorted(response.status_code for response in responses) == [201, 409]
        assert {each.paid_amount for each in await rows_of(session, Order)} == {Decimal("60.00")}
        methods = [each.method for each in await rows_of(session, Payment)]
        assert len(methods) == 6
        spent = methods.count(PaymentMethod.STORE_CREDIT) * Decimal("60.00")
        assert await balance_of(session, customer) == Decimal("600.00") - spent
        await assert_balances_equal_transactions(session)

    async def test_one_of_two_simultaneous_payments_is_refused_when_both_exceed_the_store_credit(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await an_account(session, customer, "100.00")
        orders = [await an_order(session, customer) for _ in range(2)]

        responses = await asyncio.gather(*(pay_order(as_customer, order, "60.00", "store_credit") for order in orders))

        assert sorted(response.status_code for response in responses) == [201, 409]
        assert sorted(each.paid_amount for each in await rows_of(session, Order)) == [0, Decimal("60.00")]
        assert await balance_of(session, customer) == Decimal("40.00")
        await assert_balances_equal_transactions(session)

    @pytest.mark.parametrize("orders", [1, 2], ids=["one_order", "two_orders"])
    async def test_one_of_two_simultaneous_payments_with_the_same_reference_is_refused(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession, orders: int
    ) -> None:
        for number in range(6):
            paid = ([await an_order(session, customer) for _ in range(orders)] * 2)[:2]

            responses = await asyncio.gather(
                *(pay_order(as_staff, each, "40.00", reference=f"R-{number}") for each in paid)
            )

            accepted, refused = sorted(responses, key=lambda response: response.status_code)
            assert accepted.status_code == 201
            assert_refused(refused, 409, "A payment with this method and reference already exists.")
        assert sum(each.paid_amount for each in await rows_of(session, Order)) == 6 * 40
        assert len(await rows_of(session, Payment)) == 6

    async def test_many_simultaneous_payments_confirm_an_order_once(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        order = await an_order(session, customer)

        responses = await asyncio.gather(*(pay_order(as_staff, order, "10.00") for _ in range(12)))

        assert sorted(response.status_code for response in responses) == [201] * 10 + [409] * 2
        assert [each.status for each in await rows_of(session, Order)] == ["confirmed"]
        assert await statuses_of(session, order) == [OrderStatus.PENDING, OrderStatus.CONFIRMED]
        assert (await notification_kinds(session, customer)).count(NotificationKind.ORDER_CONFIRMED) == 1
