"""/notifications: who may call which route, and how notifications are listed and marked as read."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.notification import Notification
from api.models.user import User
from tests.factories import a_notification
from tests.lists import ids, walk
from tests.support import assert_refused, count_statements

ACCESS = """
                                             nobody  owner  other  staff
GET    /notifications                           401    200    200    200
POST   /notifications/{id}/read                 401    200    404    404
"""

REQUESTS: dict[str, dict[str, Any]] = {}
"""What is sent on a line of `ACCESS`, and what stands in the path where it is not the row of the world."""

EARLIER = datetime(2026, 5, 12, 9, 30, tzinfo=UTC)


async def read_at(session: AsyncSession, notification: Notification) -> datetime | None:
    return (await session.exec(select(Notification.read_at).where(Notification.id == notification.id))).one()


class TestListNotifications:
    async def test_notifications_are_listed_newest_first(
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

    async def test_users_and_staff_see_only_their_own_notifications(
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

    async def test_an_anonymous_caller_is_refused(self, client: AsyncClient) -> None:
        assert_refused(await client.get("/notifications"), 401)

    async def test_the_list_can_be_limited_to_unread_or_read_notifications(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        unread = await a_notification(session, customer)
        read = await a_notification(session, customer, read_at=EARLIER)

        for wanted, expected in (("true", [unread.id]), ("false", [read.id])):
            page = (await as_customer.get("/notifications", params={"unread": wanted})).json()
            assert (ids(page), page["total"]) == (expected, 1)
        assert_refused(await as_customer.get("/notifications", params={"unread": "perhaps"}), 422, "query.unread")

    async def test_pages_and_cursors_show_each_notification_once(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        expected = [(await a_notification(session, customer)).id for _ in range(5)][::-1]

        pages = [
            (await as_customer.get("/notifications", params={"page": n, "page_size": 2})).json() for n in (1, 2, 3)
        ]
        assert [each for page in pages for each in ids(page)] == expected

        seen = [row["id"] for row in await walk(as_customer, "/notifications", page_size=2)]
        assert seen == expected

    @pytest.mark.parametrize("size", [1, 30])
    async def test_a_list_of_any_length_takes_two_statements(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession, database: Database, size: int
    ) -> None:
        for _ in range(size):
            await a_notification(session, customer)

        with count_statements(database) as statements:
            response = await as_customer.get("/notifications", params={"page_size": 100})
        assert len(response.json()["items"]) == size
        assert len(statements) == 2  # the token, the count, the notifications


class TestMarkNotificationRead:
    async def test_a_marked_notification_is_read(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        notification = await a_notification(session, customer)
        other = await a_notification(session, customer)

        response = await as_customer.post(f"/notifications/{notification.id}/read")

        assert response.status_code == 200
        assert datetime.fromisoformat(response.json()["read_at"]) == await read_at(session, notification)
        assert ids((await as_customer.get("/notifications", params={"unread": True})).json()) == [other.id]

    async def test_the_time_of_the_first_request_is_kept(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        notification = await a_notification(session, customer, read_at=EARLIER)

        response = await as_customer.post(f"/notifications/{notification.id}/read")

        assert datetime.fromisoformat(response.json()["read_at"]) == EARLIER
        assert await read_at(session, notification) == EARLIER

    async def test_simultaneous_requests_get_the_same_read_at(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        notification = await a_notification(session, customer)

        path = f"/notifications/{notification.id}/read"
        responses = await asyncio.gather(*(as_customer.post(path) for _ in range(8)))

        assert len({response.content for response in responses}) == 1
        assert datetime.fromisoformat(responses[0].json()["read_at"]) == await read_at(session, notification)

    async def test_a_notification_of_another_user_is_not_found(
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
