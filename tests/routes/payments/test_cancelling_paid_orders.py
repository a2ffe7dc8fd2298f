"""POST /orders/{id}/cancel of an order that was paid: every payment is refunded, once."""

import asyncio
from decimal import Decimal

import pytest
from httpx import AsyncClient
from sqlmodel import func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.commands.verify import verify
from api.database.sessions import Database
from api.models.order import Order, OrderStatus
from api.models.payment import Payment, PaymentStatus
from api.models.product import Product
from api.models.refund import Refund
from api.models.stock_movement import StockMovement
from api.models.user import User
from tests.books import assert_balances_equal_transactions, balance_of, rows_of
from tests.factories import a_product, an_account, order_body
from tests.routes.payments.support import pay_order, refund_payment
from tests.support import assert_refused


async def an_order_of_half_the_stock(client: AsyncClient, session: AsyncSession) -> Order:
    """Place an order of five units at 20.00 each. Ten units of the product were in stock."""
    product = await a_product(session, price="20.00", stock_quantity=10)
    response = await client.post("/orders", json=order_body((product, 5)))
    assert response.status_code == 201, response.text
    return (await session.exec(select(Order).where(Order.id == response.json()["id"]))).one()


async def assert_undone_once(session: AsyncSession) -> None:
    """Check that all payments are refunded, and that every product has its ten units again."""
    stocks = [product.stock_quantity for product in await rows_of(session, Product)]
    assert set(stocks) == {10}
    assert (await session.exec(select(func.sum(StockMovement.delta)))).one() == sum(stocks)
    for payment in await rows_of(session, Payment):
        refunds = select(func.sum(Refund.amount)).where(Refund.payment_id == payment.id)
        assert (await session.exec(refunds)).one() == payment.refunded_amount == payment.amount
        assert payment.status is PaymentStatus.REFUNDED
    await assert_balances_equal_transactions(session)


class TestCancelPaidOrder:
    async def test_a_cancelled_order_refunds_what_is_left_of_each_payment(
        self, as_staff: AsyncClient, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        await an_account(session, customer, "60.00")
        order = await an_order_of_half_the_stock(as_customer, session)
        await pay_order(as_staff, order, "40.00")
        await pay_order(as_customer, order, "60.00", "store_credit")
        card, _ = await rows_of(session, Payment)
        await refund_payment(as_staff, card, "15.00")

        response = await as_customer.post(f"/orders/{order.id}/cancel")

        assert response.json()["status"] == "cancelled"
        assert [str(each.amount) for each in await rows_of(session, Refund)] == ["15.00", "25.00", "60.00"]
        assert {each.reason for each in (await rows_of(session, Refund))[1:]} == {"Order cancelled"}
        assert {each.user_id for each in (await rows_of(session, Refund))[1:]} == {customer.id}
        assert await balance_of(session, customer) == Decimal("60.00")
        await assert_undone_once(session)

    @pytest.mark.parametrize("method", ["card", "store_credit"])
    async def test_a_refund_that_meets_a_cancellation_leaves_each_payment_refunded_once(
        self,
        as_staff: AsyncClient,
        as_customer: AsyncClient,
        customer: User,
        database: Database,
        session: AsyncSession,
        method: str,
    ) -> None:
        await an_account(session, customer, "100.00")
        for _ in range(6):
            order = await an_order_of_half_the_stock(as_customer, session)
            await pay_order(as_customer if method == "store_credit" else as_staff, order, "100.00", method)
            payment = (await rows_of(session, Payment))[-1]

            cancellation, refund = await asyncio.gather(
                as_customer.post(f"/orders/{order.id}/cancel"), refund_payment(as_staff, payment, "30.00")
            )

            assert cancellation.status_code == 200
            refunds = {each.id: each.amount for each in await rows_of(session, Refund) if each.payment_id == payment.id}
            if refund.status_code == 201:
                assert refunds.pop(refund.json()["id"]) == Decimal("30.00")
                assert list(refunds.values()) == [Decimal("70.00")]
            else:
                assert_refused(refund, 409, "The amount exceeds the refundable amount of this payment (0.00).")
                assert list(refunds.values()) == [Decimal("100.00")]
        assert await balance_of(session, customer) == Decimal("100.00")
        await assert_undone_once(session)
        assert await verify(database)

    @pytest.mark.parametrize("amount", ["60.00", "100.00"])
    @pytest.mark.parametrize("method", ["card", "store_credit"])
    async def test_a_payment_that_meets_a_cancellation_is_refused_or_refunded(
        self,
        as_staff: AsyncClient,
        as_customer: AsyncClient,
        customer: User,
        database: Database,
        session: AsyncSession,
        method: str,
        amount: str,
    ) -> None:
        """The second transaction sees the first one: the payment is refused, or the cancellation refunds it.

        A payment of 100.00 also confirms the order before it is cancelled.
        """
        await an_account(session, customer, "100.00")
        payer = as_customer if method == "store_credit" else as_staff
        for number in range(6):
            order = await an_order_of_half_the_stock(as_customer, session)
            cancelling = as_customer.post(f"/orders/{order.id}/cancel")
            paying = pay_order(payer, order, amount, method)
            if number % 2:
                cancellation, payment = await asyncio.gather(cancelling, paying)
            else:
                payment, cancellation = await asyncio.gather(paying, cancelling)
            assert cancellation.status_code == 200
            if payment.status_code != 201:
                assert_refused(payment, 409, "A cancelled order cannot be paid.")
        assert {each.status for each in await rows_of(session, Order)} == {OrderStatus.CANCELLED}
        assert await balance_of(session, customer) == Decimal("100.00")
        await assert_undone_once(session)
        assert await verify(database)
