"""POST /orders/{id}/cancel: a cancelled order returns its stock and its payments, once."""

import asyncio
from collections import Counter
from decimal import Decimal

import pytest
from httpx import AsyncClient
from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.commands.verify import verify
from api.database.sessions import Database
from api.models.notification import Notification, NotificationKind
from api.models.order import Order, OrderStatus
from api.models.order_event import OrderEvent
from api.models.payment import Payment
from api.models.product import Product
from api.models.refund import Refund
from api.models.stock_movement import StockMovement, StockReason
from api.models.types import MAX_ID
from api.models.user import User
from tests.books import balances, movements_of, stock_of
from tests.databases import Backend
from tests.factories import a_product, an_account
from tests.routes.orders.support import STATUSES, bring_to, place_order
from tests.seed import all_rows
from tests.support import assert_refused
from tests.timeouts import long_timeouts


class TestCancelOrder:
    @pytest.mark.parametrize("caller", ["owner", "staff"])
    @pytest.mark.parametrize("status", STATUSES)
    async def test_a_cancelled_order_returns_its_stock_once(
        self,
        as_customer: AsyncClient,
        as_staff: AsyncClient,
        customer: User,
        staff: User,
        session: AsyncSession,
        status: str,
        caller: str,
    ) -> None:
        product = await a_product(session, stock_quantity=10)
        order = await place_order(as_customer, (product, 4))
        await bring_to(as_staff, order["id"], status)
        unchanged = await all_rows(session)
        client, user = (as_customer, customer) if caller == "owner" else (as_staff, staff)

        response = await client.post(f"/orders/{order['id']}/cancel")

        if status not in {"pending", "confirmed"}:
            assert_refused(response, 409, f"with the status {status} cannot change to cancelled")
            assert await all_rows(session) == unchanged
            return
        assert (response.status_code, response.json()["status"]) == (200, "cancelled")
        assert_refused(await client.post(f"/orders/{order['id']}/cancel"), 409, "cannot change to cancelled")
        assert await stock_of(session, product) == 10
        assert await movements_of(session, product) == [
            (10, "initial", None),
            (-4, "order", order["id"]),
            (4, "cancellation", order["id"]),
        ]
        movement = (
            await session.exec(select(StockMovement).where(StockMovement.reason == StockReason.CANCELLATION))
        ).one()
        assert movement.user_id == user.id
        event = (await session.exec(select(OrderEvent).order_by(col(OrderEvent.id).desc()))).first()
        assert event is not None
        assert (event.from_status, event.to_status, event.user_id) == (status, "cancelled", user.id)

    async def test_a_cancelled_order_keeps_everything_but_its_status(
        self, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        order = await place_order(as_customer, (await a_product(session, stock_quantity=5), 5))
        await as_customer.post(f"/orders/{order['id']}/cancel")

        read = (await as_customer.get(f"/orders/{order['id']}")).json()

        assert read == {**order, "status": "cancelled", "updated_at": read["updated_at"]}

    @pytest.mark.parametrize("status", STATUSES)
    async def test_an_order_of_another_user_does_not_exist_for_a_customer(
        self,
        client: AsyncClient,
        as_customer: AsyncClient,
        as_other_customer: AsyncClient,
        as_staff: AsyncClient,
        session: AsyncSession,
        status: str,
    ) -> None:
        order = await place_order(as_customer, (await a_product(session, stock_quantity=5), 5))
        await bring_to(as_staff, order["id"], status)
        before = await all_rows(session)

        assert_refused(await client.post(f"/orders/{order['id']}/cancel"), 401)
        assert_refused(await as_other_customer.post(f"/orders/{order['id']}/cancel"), 404, "no such order")
        assert await all_rows(session) == before

    async def test_an_order_of_an_inactive_product_can_be_cancelled(
        self, as_customer: AsyncClient, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=5)
        order = await place_order(as_customer, (product, 5))
        await as_staff.delete(f"/products/{product.id}")

        assert (await as_customer.post(f"/orders/{order['id']}/cancel")).status_code == 200

        stored = await session.get(Product, product.id)
        assert stored is not None
        assert (stored.is_active, stored.stock_quantity) == (False, 5)

    @pytest.mark.parametrize(("order_id", "status"), [(1_000_000, 404), (MAX_ID, 404), (0, 422), (MAX_ID + 1, 422)])
    async def test_an_invalid_or_unknown_order_id_is_refused(
        self, as_staff: AsyncClient, order_id: int, status: int
    ) -> None:
        assert_refused(await as_staff.post(f"/orders/{order_id}/cancel"), status)

    async def test_an_order_that_is_confirmed_at_the_same_time_is_cancelled(
        self, as_customer: AsyncClient, session: AsyncSession, database: Database, backend: Backend
    ) -> None:
        """The cancellation waits for the transaction that changes the status first, and then checks the new status."""
        if backend.name == "sqlite":
            pytest.skip("SQLite runs one write transaction at a time")
        product = await a_product(session, stock_quantity=10)
        order = await place_order(as_customer, (product, 4))
        this = col(Order.id) == order["id"]

        async with database.writes() as other, other.begin():
            await other.exec(update(Order).where(this).values(status=OrderStatus.CONFIRMED))
            before, after = OrderStatus.PENDING, OrderStatus.CONFIRMED
            other.add(OrderEvent(order_id=order["id"], from_status=before, to_status=after))
            await other.flush()
            cancelling = asyncio.create_task(as_customer.post(f"/orders/{order['id']}/cancel"))
            await asyncio.sleep(0.3)
            assert not cancelling.done()

        assert (await cancelling).json()["status"] == "cancelled"
        assert await stock_of(session, product) == 10
        events = select(OrderEvent.from_status, OrderEvent.to_status).where(OrderEvent.order_id == order["id"])
        assert (await session.exec(events.order_by(col(OrderEvent.id)))).all() == [
            (None, "pending"),
            ("pending", "confirmed"),
            ("confirmed", "cancelled"),
        ]

    async def test_one_of_eight_simultaneous_cancellations_of_an_order_succeeds(
        self,
        as_customer: AsyncClient,
        as_staff: AsyncClient,
        customer: User,
        database: Database,
        session: AsyncSession,
    ) -> None:
        products = [await a_product(session, stock_quantity=100, price="10.00") for _ in range(3)]
        account = await an_account(session, customer, "1000.00")
        credit, card = (as_customer, "store_credit"), (as_staff, "card")
        ways_to_pay: list[list[tuple[AsyncClient, str, str]]] = [
            [],
            [(*credit, "120.00")],
            [(*card, "120.00")],
            [(*credit, "50.00")],
            [(*card, "70.00"), (*credit, "50.00")],
        ]
        placed = [await place_order(as_customer, *((product, 4) for product in products)) for _ in range(20)]
        for order, payments in zip(placed, ways_to_pay * 4, strict=True):
            for client, method, amount in payments:
                payment = {"method": method, "amount": amount}
                assert (await client.post(f"/orders/{order['id']}/payments", json=payment)).status_code == 201

        with long_timeouts(database):
            responses = await asyncio.gather(
                *(
                    client.post(f"/orders/{order['id']}/cancel")
                    for order in placed
                    for client in [as_customer, as_staff] * 4
                )
            )

        assert [response.text for response in responses if response.status_code not in {200, 409}] == []
        once_per_order = Counter(order["id"] for order in placed)
        for product in products:
            stock = await stock_of(session, product)
            assert stock == 100, f"{stock} units are in stock instead of 100"
            moved = await movements_of(session, product)
            assert Counter(order_id for _, reason, order_id in moved if reason == "cancellation") == once_per_order
        assert (await balances(session))[account.id] == Decimal("1000.00")
        paid = (await session.exec(select(Payment))).all()
        refunded = (await session.exec(select(Refund))).all()
        assert Counter((each.payment_id, each.amount) for each in refunded) == Counter((p.id, p.amount) for p in paid)
        notified = select(Notification.order_id).where(Notification.kind == NotificationKind.ORDER_CANCELLED)
        assert Counter((await session.exec(notified)).all()) == once_per_order
        for number in range(20):
            answers = responses[8 * number : 8 * number + 8]
            assert sorted(response.status_code for response in answers) == [200] + [409] * 7
        assert await verify(database)
