"""PATCH /orders/{id}/status: staff bring an order to its next status."""

import asyncio

import pytest
from httpx import AsyncClient
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.notification import Notification
from api.models.order import Order
from api.models.order_event import OrderEvent
from api.models.types import MAX_ID
from api.models.user import User
from tests.books import assert_stock_equals_movements, stock_of
from tests.factories import a_product
from tests.routes.orders.support import STATUSES, bring_to, place_order, set_status
from tests.seed import all_rows
from tests.support import assert_refused

ALLOWED_CHANGES = {
    ("pending", "confirmed"),
    ("pending", "cancelled"),
    ("confirmed", "shipped"),
    ("confirmed", "cancelled"),
    ("shipped", "delivered"),
}


class TestChangeOrderStatus:
    @pytest.mark.parametrize("after", STATUSES)
    @pytest.mark.parametrize("before", STATUSES)
    async def test_an_order_gets_only_a_status_that_may_follow(
        self,
        as_staff: AsyncClient,
        as_customer: AsyncClient,
        staff: User,
        session: AsyncSession,
        before: str,
        after: str,
    ) -> None:
        product = await a_product(session, stock_quantity=10)
        order = await place_order(as_customer, (product, 4))
        await bring_to(as_staff, order["id"], before)
        unchanged = await all_rows(session)

        response = await set_status(as_staff, order["id"], after)

        if (before, after) not in ALLOWED_CHANGES:
            assert_refused(response, 409, f"An order with the status {before} cannot change to {after}.")
            assert await all_rows(session) == unchanged
            return
        assert response.status_code == 200
        assert (response.json()["id"], response.json()["status"]) == (order["id"], after)
        stored = await session.get(Order, order["id"])
        assert stored is not None
        assert stored.status == after
        assert stored.updated_at > stored.created_at
        event = (await session.exec(select(OrderEvent).order_by(col(OrderEvent.id).desc()))).first()
        assert event is not None
        assert (event.from_status, event.to_status, event.user_id) == (before, after, staff.id)
        assert await stock_of(session, product) == (10 if after == "cancelled" else 6)
        await assert_stock_equals_movements(session)

    async def test_each_change_of_status_adds_a_notification(
        self, as_staff: AsyncClient, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=10)
        delivered, cancelled = [(await place_order(as_customer, (product, 1))) for _ in range(2)]
        await bring_to(as_staff, delivered["id"], "delivered")
        await bring_to(as_staff, cancelled["id"], "cancelled")

        kinds: dict[int | None, list[str]] = {}
        for each in (await session.exec(select(Notification).order_by(col(Notification.id)))).all():
            assert each.user_id == customer.id
            kinds.setdefault(each.order_id, []).append(each.kind.value)
        assert kinds == {
            delivered["id"]: ["order_placed", "order_confirmed", "order_shipped", "order_delivered"],
            cancelled["id"]: ["order_placed", "order_cancelled"],
        }

    async def test_only_staff_change_the_status(
        self, client: AsyncClient, as_customer: AsyncClient, as_other_customer: AsyncClient, session: AsyncSession
    ) -> None:
        order = await place_order(as_customer, (await a_product(session, stock_quantity=1), 1))
        before = await all_rows(session)

        for status in ("confirmed", "cancelled"):
            assert_refused(await set_status(client, order["id"], status), 401)
            assert_refused(await set_status(as_customer, order["id"], status), 403)
            assert (await set_status(as_other_customer, order["id"], status)).status_code in {403, 404}
        assert await all_rows(session) == before

    @pytest.mark.parametrize("status", ["paid", "", "CONFIRMED", "a\0b"])
    async def test_an_unknown_status_is_refused(
        self, as_staff: AsyncClient, as_customer: AsyncClient, session: AsyncSession, status: str
    ) -> None:
        order = await place_order(as_customer, (await a_product(session, stock_quantity=1), 1))

        assert_refused(await set_status(as_staff, order["id"], status), 422, "query.new_status")
        assert_refused(await as_staff.patch(f"/orders/{order['id']}/status"), 422, "query.new_status")

    @pytest.mark.parametrize(("order_id", "status"), [(1_000_000, 404), (MAX_ID, 404), (0, 422), (MAX_ID + 1, 422)])
    async def test_an_invalid_or_unknown_order_id_is_refused(
        self, as_staff: AsyncClient, order_id: int, status: int
    ) -> None:
        assert_refused(await set_status(as_staff, order_id, "confirmed"), status)

    async def test_one_of_two_simultaneous_changes_is_refused(
        self, as_staff: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=100)
        for _ in range(10):
            order = await place_order(as_customer, (product, 1))
            await bring_to(as_staff, order["id"], "confirmed")
            responses = await asyncio.gather(
                *(set_status(as_staff, order["id"], status) for status in ("shipped", "cancelled"))
            )
            assert sorted(response.status_code for response in responses) == [200, 409]
            stored = await session.get(Order, order["id"])
            assert stored is not None
            assert stored.status == ("shipped" if responses[0].status_code == 200 else "cancelled")
            of_order = select(OrderEvent).where(OrderEvent.order_id == order["id"])
            assert len((await session.exec(of_order)).all()) == 3
        await assert_stock_equals_movements(session)
