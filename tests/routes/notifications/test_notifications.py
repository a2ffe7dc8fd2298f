"""/notifications: what the caller should know, and never in the way of what it tells of."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel import col, func, select, text
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.notification import Notification, NotificationKind
from api.models.order import Order
from api.models.order_event import OrderEvent
from api.models.product import Product
from api.models.stock_movement import StockMovement, StockReason
from api.models.user import User
from tests.support import assert_refused, count_statements, save

numbers = count(1)
A_WHILE_AGO = datetime(2026, 5, 12, 9, 30, tzinfo=UTC)


async def a_notification(session: AsyncSession, user: User, **fields: Any) -> Notification:
    message = f"Notification {next(numbers)}"
    notification = Notification(
        user_id=user.id, **{"kind": NotificationKind.CREDIT_RECEIVED, "message": message, **fields}
    )
    await save(session, notification)
    return notification


async def a_product(session: AsyncSession) -> Product:
    product = Product(name="Lamp", slug="lamp", sku="LAMP", price=Decimal("20.00"), stock_quantity=10)
    await save(session, product)
    await save(session, StockMovement(product_id=product.id, delta=10, reason=StockReason.INITIAL))
    return product


async def read_at(session: AsyncSession, notification: Notification) -> datetime | None:
    return (await session.exec(select(Notification.read_at).where(Notification.id == notification.id))).one()


def ids(page: Any) -> list[int]:
    return [item["id"] for item in page["items"]]


class TestListNotifications:
    async def test_the_newest_comes_first(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        old, new = [await a_notification(session, customer) for _ in range(2)]

        page = (await as_customer.get("/notifications")).json()

        assert ids(page) == [new.id, old.id]
        assert page["items"][0] == {
            "id": new.id,
            "order_id": None,
            "kind": "credit_received",
            "message": new.message,
            "read_at": None,
            "created_at": page["items"][0]["created_at"],
        }

    async def test_each_sees_their_own_and_staff_too(
        self,
        as_staff: AsyncClient,
        as_customer: AsyncClient,
        customer: User,
        other_customer: User,
        session: AsyncSession,
    ) -> None:
        own = await a_notification(session, customer)
        await a_notification(session, other_customer)

        assert ids((await as_customer.get("/notifications")).json()) == [own.id]
        assert ids((await as_staff.get("/notifications")).json()) == []

    async def test_nobody_has_none(self, client: AsyncClient) -> None:
        assert_refused(await client.get("/notifications"), 401)

    async def test_read_and_unread_ones_are_told_apart(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        unread = await a_notification(session, customer)
        read = await a_notification(session, customer, read_at=A_WHILE_AGO)

        for wanted, expected in (("true", [unread.id]), ("false", [read.id])):
            page = (await as_customer.get("/notifications", params={"unread": wanted})).json()
            assert (ids(page), page["total"]) == (expected, 1)
        assert_refused(await as_customer.get("/notifications", params={"unread": "perhaps"}), 422, "query.unread")

    async def test_pages_and_cursors_show_each_once(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        expected = [(await a_notification(session, customer)).id for _ in range(5)][::-1]

        pages = [
            (await as_customer.get("/notifications", params={"page": n, "page_size": 2})).json() for n in (1, 2, 3)
        ]
        assert [each for page in pages for each in ids(page)] == expected

        seen: list[int] = []
        cursor: str | None = ""
        while cursor is not None:
            page = (await as_customer.get("/notifications", params={"cursor": cursor, "page_size": 2})).json()
            seen += ids(page)
            cursor = page["next_cursor"]
        assert seen == expected

    @pytest.mark.parametrize("size", [1, 30])
    async def test_takes_as_many_statements_whatever_its_size(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, database: Database, size: int
    ) -> None:
        for _ in range(size):
            await a_notification(session, customer)

        with count_statements(database) as statements:
            response = await as_customer.get("/notifications", params={"page_size": 100})
        assert len(response.json()["items"]) == size
        assert len(statements) == 3  # the token, the count, the notifications


class TestMarkNotificationRead:
    async def test_it_is_read_from_then_on(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        notification = await a_notification(session, customer)
        other = await a_notification(session, customer)

        response = await as_customer.post(f"/notifications/{notification.id}/read")

        assert response.status_code == 200
        assert datetime.fromisoformat(response.json()["read_at"]) == await read_at(session, notification)
        assert ids((await as_customer.get("/notifications", params={"unread": True})).json()) == [other.id]

    async def test_the_first_time_counts(self, as_customer: AsyncClient, customer: User, session: AsyncSession) -> None:
        notification = await a_notification(session, customer, read_at=A_WHILE_AGO)

        response = await as_customer.post(f"/notifications/{notification.id}/read")

        assert datetime.fromisoformat(response.json()["read_at"]) == A_WHILE_AGO
        assert await read_at(session, notification) == A_WHILE_AGO

    async def test_the_first_time_counts_when_many_come_at_once(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        notification = await a_notification(session, customer)

        path = f"/notifications/{notification.id}/read"
        responses = await asyncio.gather(*(as_customer.post(path) for _ in range(8)))

        assert len({response.content for response in responses}) == 1
        assert datetime.fromisoformat(responses[0].json()["read_at"]) == await read_at(session, notification)

    async def test_that_of_another_does_not_exist(
        self,
        client: AsyncClient,
        as_staff: AsyncClient,
        as_customer: AsyncClient,
        other_customer: User,
        session: AsyncSession,
    ) -> None:
        notification = await a_notification(session, other_customer)

        path = f"/notifications/{notification.id}/read"
        assert_refused(await as_customer.post(path), 404)
        assert_refused(await as_staff.post(path), 404)
        assert_refused(await client.post(path), 401)
        assert_refused(await as_customer.post("/notifications/1000000/read"), 404)
        assert await read_at(session, notification) is None


class TestWhatItTellsOf:
    async def test_is_told_along_the_way(
        self, as_customer: AsyncClient, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        product = await a_product(session)
        body = {"items": [{"product_id": product.id, "quantity": 1}]}
        order = (await as_customer.post("/orders", json=body)).json()
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

    async def test_stands_where_the_notification_fails(
        self, as_customer: AsyncClient, session: AsyncSession, caplog: pytest.LogCaptureFixture
    ) -> None:
        product = await a_product(session)
        body = {"items": [{"product_id": product.id, "quantity": 2}]}
        await session.exec(text("ALTER TABLE notifications RENAME TO mislaid"))  # type: ignore[call-overload]
        try:
            response = await as_customer.post("/orders", json=body)
        finally:
            await session.exec(text("ALTER TABLE mislaid RENAME TO notifications"))  # type: ignore[call-overload]

        assert response.status_code == 201
        assert "a notification could not be written" in caplog.text
        assert (await session.exec(select(Order.id))).all() == [response.json()["id"]]
        assert (await session.exec(select(func.count()).select_from(OrderEvent))).one() == 1
        assert (await session.exec(select(col(Product.stock_quantity)))).one() == 8
        assert (await session.exec(select(Notification))).all() == []

    async def test_takes_it_along_where_it_fails_itself(self, as_customer: AsyncClient, session: AsyncSession) -> None:
        product = await a_product(session)
        body = {"items": [{"product_id": product.id, "quantity": 11}]}

        assert_refused(await as_customer.post("/orders", json=body), 409)
        assert (await session.exec(select(Notification))).all() == []
