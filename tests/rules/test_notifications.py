"""Notifications are written beside a change, and never prevent it."""

from decimal import Decimal

import pytest
from httpx import AsyncClient
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.notification import Notification
from api.models.order import Order, OrderStatus
from api.models.order_event import OrderEvent
from api.models.payment import PaymentCreate, PaymentMethod
from api.models.product import Product
from api.models.types import MAX_ID
from api.models.user import User
from api.rules import payments
from api.rules.order_status import confirm_if_paid
from api.rules.orders import stored_order
from tests.factories import a_product, an_order, order_body
from tests.rules.failing_notifications import failing_notifications
from tests.support import assert_refused


class TestNotify:
    async def test_a_customer_is_notified_of_every_step_of_an_order(
        self, as_customer: AsyncClient, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        product = await a_product(session, price="20.00", stock_quantity=10)
        order = (await as_customer.post("/orders", json=order_body((product, 1)))).json()
        await as_staff.post(f"/orders/{order['id']}/payments", json={"method": "card", "amount": "20.00"})
        for status in ("shipped", "delivered"):
            await as_staff.patch(f"/orders/{order['id']}/status", params={"new_status": status})

        items = (await as_customer.get("/notifications")).json()["items"]

        assert [item["kind"] for item in items] == [
            "order_delivered",
            "order_shipped",
            "order_confirmed",
            "payment_received",
            "order_placed",
        ]
        assert {item["order_id"] for item in items} == {order["id"]}
        assert all(order["order_number"] in item["message"] for item in items)

    async def test_an_order_stands_when_the_notification_fails(
        self, as_customer: AsyncClient, session: AsyncSession, caplog: pytest.LogCaptureFixture
    ) -> None:
        product = await a_product(session, price="20.00", stock_quantity=10)
        async with failing_notifications(session):
            response = await as_customer.post("/orders", json=order_body((product, 2)))

        assert response.status_code == 201
        assert "A notification could not be written" in caplog.text
        assert (await session.exec(select(Order.id))).all() == [response.json()["id"]]
        assert (await session.exec(select(func.count()).select_from(OrderEvent))).one() == 1
        assert (await session.exec(select(col(Product.stock_quantity)))).one() == 8
        assert (await session.exec(select(Notification))).all() == []

    async def test_an_event_that_fails_is_not_taken_for_a_notification_that_fails(
        self, database: Database, session: AsyncSession
    ) -> None:
        """PostgreSQL gets both in one go. Going back to an earlier savepoint would undo the change of the status."""
        order = await an_order(session, total="20.00")

        async def pay_and_confirm_by_nobody() -> None:
            async with database.transaction() as write:
                data = PaymentCreate(method=PaymentMethod.CARD, amount=Decimal("20.00"))
                _, paid = await payments.receive(write, await stored_order(write, order.id), data)
                await confirm_if_paid(write, paid, changed_by=MAX_ID)

        with pytest.raises(IntegrityError):
            await pay_and_confirm_by_nobody()
        await session.refresh(order)
        assert (order.status, order.paid_amount) == (OrderStatus.PENDING, Decimal(0))
        assert (await session.exec(select(Notification))).all() == []

    async def test_a_refused_order_leaves_no_notification(
        self, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, price="20.00", stock_quantity=10)

        assert_refused(await as_customer.post("/orders", json=order_body((product, 11))), 409)
        assert (await session.exec(select(Notification))).all() == []
