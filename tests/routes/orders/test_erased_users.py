"""/orders of erased users: an order outlives the user who placed it."""

import asyncio

import pytest
from httpx import AsyncClient
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.order import Order, OrderStatus
from api.models.user import User
from tests.books import assert_stock_equals_movements, stock_of
from tests.conftest import Connect
from tests.factories import a_product, a_user, an_order, order_body
from tests.routes.orders.support import STATUSES, place_order
from tests.support import assert_refused


class TestOrdersOfErasedUser:
    @pytest.mark.parametrize("status", STATUSES)
    async def test_an_order_does_not_change_when_its_user_is_erased(
        self,
        as_customer: AsyncClient,
        as_staff: AsyncClient,
        customer: User,
        session: AsyncSession,
        status: str,
    ) -> None:
        path = f"/orders/{(await an_order(session, customer, status=OrderStatus(status))).id}"
        order = (await as_staff.get(path)).json()
        events = (await as_staff.get(f"{path}/events")).json()

        assert (await as_customer.delete(f"/users/{customer.id}")).status_code == 204

        assert (await as_staff.get(path)).json() == order
        details = (await as_staff.get(f"{path}/details")).json()
        assert details["user"] == {"id": customer.id, "username": f"erased-{customer.id}"}
        assert (await as_staff.get(f"{path}/events")).json() == events
        await assert_stock_equals_movements(session)

    async def test_staff_can_cancel_an_order_of_an_erased_user(
        self, as_customer: AsyncClient, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=10)
        order = await place_order(as_customer, (product, 4))
        await as_staff.delete(f"/users/{customer.id}")

        assert (await as_staff.post(f"/orders/{order['id']}/cancel")).status_code == 200
        assert await stock_of(session, product) == 10

    async def test_an_erased_user_cannot_order_again(
        self, as_customer: AsyncClient, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=10)
        await place_order(as_customer, (product, 1))
        await as_customer.delete(f"/users/{customer.id}")

        assert_refused(await as_customer.post("/orders", json=order_body((product, 1))), 401)
        response = await as_staff.post("/orders", json=order_body((product, 1), user_id=customer.id))
        assert_refused(response, 422, "body.user_id")
        assert await stock_of(session, product) == 9

    async def test_an_order_that_meets_the_erasure_of_its_user_is_placed_or_refused(
        self, as_staff: AsyncClient, session: AsyncSession, connect: Connect
    ) -> None:
        product = await a_product(session, stock_quantity=100)
        for _ in range(8):
            user = await a_user(session)
            client = await connect(user)

            placing, erasing = await asyncio.gather(
                client.post("/orders", json=order_body((product, 1))), as_staff.delete(f"/users/{user.id}")
            )

            assert erasing.status_code in {204, 409}
            placed = (await session.exec(select(Order).where(Order.user_id == user.id))).all()
            assert len(placed) == (1 if placing.status_code == 201 else 0)
            assert placing.status_code in {201, 401, 409, 422}
        await assert_stock_equals_movements(session)
