"""/events: staff follow what happened in the shop."""

from datetime import UTC, datetime

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.event import EventType
from api.worker.relay import relay
from tests.factories import a_product, an_event, order_body
from tests.support import assert_refused, count_statements

ACCESS = """
                              nobody  owner  other  staff
GET    /events                   401    403    403    200
GET    /events/stream            401    403    403    200
"""


class TestFeed:
    async def test_an_event_is_in_the_feed_once_it_has_its_place(
        self, as_staff: AsyncClient, as_customer: AsyncClient, database: Database, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=50)
        order = (await as_customer.post("/orders", json=order_body((product, 2)))).json()
        assert (await as_staff.get("/events")).json() == {"items": [], "next_cursor": "0"}

        while await relay(database):
            pass

        feed = (await as_staff.get("/events")).json()
        (event,) = feed["items"]
        assert list(event) == ["id", "type", "timestamp", "subject", "data"] or database.backend == "mysql"
        assert event.pop("timestamp") >= order["created_at"]
        expected = {"type": "order.placed", "subject": f"orders/{order['id']}", "data": order}
        assert event == {"id": event["id"], **expected}
        assert feed["next_cursor"] == "1"

    async def test_a_program_that_asks_with_each_cursor_gets_each_event_once(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        for position in range(1, 6):
            await an_event(session, position=position, subject=f"users/{position}")
        found, cursor = [], None
        for size in (2, 2, 1, 0, 0):
            params = {"limit": 2, **({"cursor": cursor} if cursor is not None else {})}
            page = (await as_staff.get("/events", params=params)).json()
            assert len(page["items"]) == size
            found += [each["subject"] for each in page["items"]]
            cursor = page["next_cursor"]
        await an_event(session, position=6, subject="users/6")
        page = (await as_staff.get("/events", params={"cursor": cursor})).json()

        assert [*found, *(each["subject"] for each in page["items"])] == [f"users/{each}" for each in range(1, 7)]

    async def test_events_come_in_the_order_of_their_places_and_not_of_their_ids(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        for position in (3, 1, None, 2):
            await an_event(session, position=position, subject=f"users/{position}")
        page = (await as_staff.get("/events")).json()
        assert [each["subject"] for each in page["items"]] == ["users/1", "users/2", "users/3"]

    async def test_the_feed_begins_with_the_oldest_event_that_is_kept(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        await an_event(session, position=70, timestamp=datetime(2026, 5, 12, 9, 30, tzinfo=UTC))
        page = (await as_staff.get("/events?cursor=")).json()
        assert [each["timestamp"] for each in page["items"]] == ["2026-05-12T09:30:00Z"]
        assert page["next_cursor"] == "70"

    async def test_a_type_alone_can_be_followed(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        wanted = await an_event(session, position=1, type=EventType.STOCK_LOW)
        await an_event(session, position=2)
        page = (await as_staff.get("/events", params={"type": "stock.low"})).json()
        assert [each["id"] for each in page["items"]] == [wanted.id]
        again = await as_staff.get("/events", params={"type": "stock.low", "cursor": page["next_cursor"]})
        assert again.json() == {"items": [], "next_cursor": "1"}

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("cursor=WyJpZCIsIDIwXQ", "query.cursor"),
            ("cursor=-1", "query.cursor"),
            ("cursor=9999999999999999999", "query.cursor"),
            ("cursor=٣", "query.cursor"),
            ("limit=0", "query.limit"),
            ("limit=501", "query.limit"),
            ("type=order", "query.type"),
            ("page=1", "query.page"),
        ],
    )
    async def test_what_is_no_cursor_no_limit_and_no_type_is_refused(
        self, as_staff: AsyncClient, query: str, field: str
    ) -> None:
        assert_refused(await as_staff.get(f"/events?{query}"), 422, field)

    async def test_any_number_of_events_takes_two_statements(
        self, as_staff: AsyncClient, session: AsyncSession, database: Database
    ) -> None:
        for position in range(1, 21):
            await an_event(session, position=position)
        with count_statements(database) as statements:
            assert len((await as_staff.get("/events")).json()["items"]) == 20
        assert len(statements) == 2, "the token and the events"
