"""POST /orders: an order takes its stock and freezes the names and prices of its products."""

import re
from decimal import Decimal

import pytest
from httpx import AsyncClient
from sqlmodel import col, func, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.notification import Notification
from api.models.order import Order
from api.models.order_event import OrderEvent
from api.models.order_item import OrderItem
from api.models.stock_movement import StockMovement
from api.models.types import MAX_ID
from api.models.user import User
from tests.books import movements_of, stock_of
from tests.factories import a_product, a_user, order_body
from tests.routes.orders.support import place_order
from tests.seed import all_rows
from tests.support import assert_refused, count_statements


class TestPlaceOrder:
    async def test_a_customer_places_an_order(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        headphones = await a_product(session, "Headphones", stock_quantity=10, sku="WH-001", price="79.99")
        cable = await a_product(session, "Cable", stock_quantity=5, sku="CA-002", price="0.05")

        order = await place_order(as_customer, (cable, 3), (headphones, 2), shipping_address=" 1 Abbey Road ")

        assert (order["user_id"], order["status"], order["shipping_address"]) == (
            customer.id,
            "pending",
            "1 Abbey Road",
        )
        assert (order["total_amount"], order["paid_amount"]) == ("160.13", "0.00")
        assert [{**item, "id": None} for item in order["items"]] == [
            {
                "id": None,
                "product_id": headphones.id,
                "product_name": "Headphones",
                "sku": "WH-001",
                "quantity": 2,
                "unit_price": "79.99",
                "total_price": "159.98",
            },
            {
                "id": None,
                "product_id": cable.id,
                "product_name": "Cable",
                "sku": "CA-002",
                "quantity": 3,
                "unit_price": "0.05",
                "total_price": "0.15",
            },
        ]
        assert (await as_customer.get(f"/orders/{order['id']}")).json() == order

    async def test_an_order_writes_its_lines_movements_event_and_notification(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=10)

        order = await place_order(as_customer, (product, 4))

        stored = await session.get(Order, order["id"])
        assert stored is not None
        assert (stored.user_id, stored.status, stored.total_amount) == (customer.id, "pending", Decimal("39.96"))
        (line,) = (await session.exec(select(OrderItem))).all()
        assert (line.order_id, line.product_id, line.quantity) == (order["id"], product.id, 4)
        assert (line.unit_price, line.total_price) == (Decimal("9.99"), Decimal("39.96"))
        assert await stock_of(session, product) == 6
        assert await movements_of(session, product) == [(10, "initial", None), (-4, "order", order["id"])]
        movement = (await session.exec(select(StockMovement).where(StockMovement.order_id == order["id"]))).one()
        assert movement.user_id == customer.id
        (event,) = (await session.exec(select(OrderEvent))).all()
        assert (event.order_id, event.from_status, event.to_status, event.user_id) == (
            order["id"],
            None,
            "pending",
            customer.id,
        )
        (notification,) = (await session.exec(select(Notification))).all()
        assert (notification.user_id, notification.order_id, notification.kind, notification.read_at) == (
            customer.id,
            order["id"],
            "order_placed",
            None,
        )
        assert order["order_number"] in notification.message

    async def test_lines_of_the_same_product_become_one_line(
        self, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        first = await a_product(session, stock_quantity=10)
        second = await a_product(session, stock_quantity=10)

        order = await place_order(as_customer, (first, 2), (second, 1), (first, 3))

        assert [(item["product_id"], item["quantity"]) for item in order["items"]] == [(first.id, 5), (second.id, 1)]
        assert order["total_amount"] == "59.94"
        assert await movements_of(session, first) == [(10, "initial", None), (-5, "order", order["id"])]

    async def test_lines_of_the_same_product_are_merged_before_the_stock_is_checked(
        self, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=4)

        response = await as_customer.post("/orders", json=order_body((product, 3), (product, 2)))

        assert_refused(response, 409, "is 4, less than the order needs.")
        assert await stock_of(session, product) == 4

    async def test_names_and_prices_in_an_order_are_frozen(
        self, as_customer: AsyncClient, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, "Headphones", stock_quantity=10, sku="WH-001")
        order = await place_order(as_customer, (product, 2))

        changes = {"name": "Earphones", "sku": "EA-001", "price": "100.00", "is_active": False}
        assert (await as_staff.patch(f"/products/{product.id}", json=changes)).status_code == 200

        assert (await as_customer.get(f"/orders/{order['id']}")).json() == order
        (item,) = (await as_customer.get(f"/orders/{order['id']}/details")).json()["items"]
        assert (item["product_name"], item["sku"], item["unit_price"]) == ("Headphones", "WH-001", "9.99")
        assert (item["product"]["name"], item["product"]["sku"], item["product"]["price"]) == (
            "Earphones",
            "EA-001",
            "100.00",
        )

    async def test_the_whole_stock_can_be_ordered(self, as_customer: AsyncClient, session: AsyncSession) -> None:
        product = await a_product(session, stock_quantity=3)

        await place_order(as_customer, (product, 3))

        assert await stock_of(session, product) == 0

    async def test_order_numbers_are_random_and_unique(self, as_customer: AsyncClient, session: AsyncSession) -> None:
        product = await a_product(session, stock_quantity=100)

        order_numbers = [(await place_order(as_customer, (product, 1)))["order_number"] for _ in range(20)]

        assert len(set(order_numbers)) == 20
        assert all(re.fullmatch(r"ORD(-[0-9A-HJKMNP-TV-Z]{4}){3}", number) for number in order_numbers)
        assert sorted(order_numbers) != order_numbers

    async def test_an_anonymous_order_is_refused(self, client: AsyncClient, session: AsyncSession) -> None:
        product = await a_product(session, stock_quantity=1)

        assert_refused(await client.post("/orders", json=order_body((product, 1))), 401)
        assert await stock_of(session, product) == 1

    async def test_two_requests_with_the_same_idempotency_key_place_one_order(
        self, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=10)
        headers = {"Idempotency-Key": "order-1"}

        first, second = [
            await as_customer.post("/orders", json=order_body((product, 2)), headers=headers) for _ in range(2)
        ]

        assert (first.status_code, second.status_code) == (201, 201)
        assert first.content == second.content
        assert second.headers["Idempotent-Replayed"] == "true"
        assert await stock_of(session, product) == 8
        assert len((await session.exec(select(Order))).all()) == 1

    @pytest.mark.parametrize("size", [1, 20])
    async def test_an_order_takes_as_many_statements_whatever_its_size(
        self, as_customer: AsyncClient, session: AsyncSession, database: Database, size: int
    ) -> None:
        products = [await a_product(session, stock_quantity=5) for _ in range(size)]

        with count_statements(database) as statements:
            await place_order(as_customer, *((product, 1) for product in products))

        assert len([each for each in statements if each.startswith("UPDATE products")]) == 1
        # For the token, the customer, the products twice, the order, lines, movements, its status, the notification,
        # the audit trail and the events; on PostgreSQL for the ids of the order and of the lines too.
        assert len(statements) == (13 if database.backend == "postgresql" else 11)


class TestPlaceOrderForAnotherUser:
    async def test_staff_order_for_a_customer(
        self,
        as_staff: AsyncClient,
        as_customer: AsyncClient,
        staff: User,
        customer: User,
        session: AsyncSession,
    ) -> None:
        product = await a_product(session, stock_quantity=5)

        order = await place_order(as_staff, (product, 1), user_id=customer.id)

        assert order["user_id"] == customer.id
        assert (await as_customer.get(f"/orders/{order['id']}")).json() == order
        (event,) = (await session.exec(select(OrderEvent))).all()
        assert event.user_id == staff.id
        movement = (await session.exec(select(StockMovement).where(StockMovement.order_id == order["id"]))).one()
        assert movement.user_id == staff.id
        (notification,) = (await session.exec(select(Notification))).all()
        assert notification.user_id == customer.id

    async def test_staff_order_for_themselves(self, as_staff: AsyncClient, staff: User, session: AsyncSession) -> None:
        product = await a_product(session, stock_quantity=5)

        assert (await place_order(as_staff, (product, 1)))["user_id"] == staff.id

    async def test_staff_who_name_a_staff_user_are_told_whom_to_name(
        self, as_staff: AsyncClient, staff: User, session: AsyncSession
    ) -> None:
        """The first user of a shop is staff, and often taken for its first customer."""
        product, other = await a_product(session, stock_quantity=5), await a_user(session, is_superuser=True)

        for user in (staff, other):
            refused = await as_staff.post("/orders", json=order_body((product, 1), user_id=user.id))
            assert_refused(
                refused, 422, f"body.user_id: user {user.id} is a staff user, and no customer. Send the user_id"
            )
            assert "such as" not in refused.json()["detail"]
        await a_user(session, is_active=False)
        newest = await a_user(session, "janedoe")
        refused = await as_staff.post("/orders", json=order_body((product, 1), user_id=staff.id))

        assert_refused(
            refused, 422, f"of a customer, such as {newest.id} (janedoe). Staff order for themselves without"
        )
        assert (await session.exec(select(func.count()).select_from(Order))).one() == 0
        assert (await place_order(as_staff, (product, 1), user_id=newest.id))["user_id"] == newest.id

    async def test_a_customer_cannot_order_for_another_user(
        self, as_customer: AsyncClient, customer: User, other_customer: User, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=5)
        before = await all_rows(session)

        for user_id in (other_customer.id, 1_000_000, MAX_ID):
            response = await as_customer.post("/orders", json=order_body((product, 1), user_id=user_id))
            assert_refused(response, 403, "Only staff may order for another user.")

        assert await all_rows(session) == before
        assert (await place_order(as_customer, (product, 1), user_id=customer.id))["user_id"] == customer.id

    @pytest.mark.parametrize("user_id", [1_000_000, MAX_ID])
    async def test_an_order_for_a_user_who_does_not_exist_is_refused(
        self, as_staff: AsyncClient, session: AsyncSession, user_id: int
    ) -> None:
        product = await a_product(session, stock_quantity=5)
        before = await all_rows(session)

        assert_refused(
            await as_staff.post("/orders", json=order_body((product, 1), user_id=user_id)), 422, "body.user_id"
        )
        assert await all_rows(session) == before

    async def test_an_order_for_an_inactive_user_is_refused(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=5)
        await session.exec(update(User).where(col(User.id) == customer.id).values(is_active=False))
        before = await all_rows(session)

        assert_refused(
            await as_staff.post("/orders", json=order_body((product, 1), user_id=customer.id)), 422, "body.user_id"
        )
        assert await all_rows(session) == before
