"""The log of deliveries, and events that are sent again."""

from datetime import timedelta
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.base import utcnow
from api.models.event import EventType
from api.models.outgoing import OutgoingStatus
from api.models.webhook_delivery import FOLLOWER, WebhookDelivery
from api.routers import webhook_deliveries
from tests.factories import a_job, a_webhook, a_webhook_delivery, an_event
from tests.support import assert_refused

ACCESS = """
                                         nobody  owner  other  staff
GET    /webhook-deliveries                  401    403    403    200
GET    /webhooks/{id}/deliveries            401    403    403    200
POST   /webhook-deliveries/{id}/replay      401    403    403    200
POST   /webhooks/{id}/replay                401    403    403    200
"""

REQUESTS: dict[str, dict[str, Any]] = {"POST /webhooks/{id}/replay": {"json": {"since": "2026-05-12T09:30:00Z"}}}


async def subjects_to(session: AsyncSession, webhook_id: int) -> list[str]:
    """In the order in which they are sent."""
    its = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook_id).order_by(col(WebhookDelivery.id))
    return [each.subject for each in (await session.exec(its)).all()]


class TestLog:
    async def test_it_says_what_became_of_the_last_attempt(self, as_staff: AsyncClient, session: AsyncSession) -> None:
        failed = await a_webhook_delivery(
            session, status=OutgoingStatus.FAILED, attempts=10, http_status=500, duration=12, error="It answered 500."
        )
        await a_webhook_delivery(session)

        log = (await as_staff.get(f"/webhooks/{failed.webhook_id}/deliveries")).json()

        (item,) = log["items"]
        assert (item["status"], item["attempts"], item["http_status"]) == ("failed", 10, 500)
        assert (item["duration"], item["error"], item["sent_at"]) == (12, "It answered 500.", None)
        for query in (f"webhook_id={failed.webhook_id}", f"event_id={failed.event_id}", "status=failed"):
            assert (await as_staff.get(f"/webhook-deliveries?{query}")).json()["items"] == [item]

    async def test_there_is_none_of_a_webhook_that_does_not_exist(self, as_staff: AsyncClient) -> None:
        assert (await as_staff.get("/webhooks/4711/deliveries")).status_code == 404


class TestReplay:
    async def test_a_delivery_is_due_again_with_new_attempts(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        now = utcnow()
        sent = await a_webhook_delivery(
            session, status=OutgoingStatus.SENT, attempts=10, sent_at=now, due_at=now + timedelta(days=1)
        )

        again = await as_staff.post(f"/webhook-deliveries/{sent.id}/replay")

        its = again.json()
        assert (its["id"], its["status"], its["attempts"], its["sent_at"]) == (sent.id, "pending", 0, None)
        await session.refresh(sent)
        assert sent.due_at <= utcnow()

    async def test_all_events_since_a_moment_are_sent_again_in_order(
        self, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        """Those too that happened while the webhook was disabled; neither others, nor those that it will be told of."""
        webhook, now = await a_webhook(session, types=[EventType.USER_ERASED]), utcnow()
        since = now - timedelta(hours=1)
        await a_job(session, name=FOLLOWER, position=5)
        older = await an_event(session, subject="users/1", position=1, timestamp=now - timedelta(hours=2))
        missed = await an_event(session, subject="users/2", position=2, timestamp=since)
        sent = await an_event(session, subject="users/3", position=3)
        await an_event(session, subject="orders/4", position=4, type=EventType.ORDER_PLACED)
        last = await an_event(session, subject="users/5", position=5)
        await an_event(session, subject="users/6", position=6)
        for event in (older, sent):
            await a_webhook_delivery(session, event, webhook, status=OutgoingStatus.SENT)
        other = await a_webhook_delivery(session, sent, status=OutgoingStatus.SENT)

        replayed = await as_staff.post(f"/webhooks/{webhook.id}/replay", json={"since": since.isoformat()})

        assert replayed.json() == {"events": 3}
        assert await subjects_to(session, webhook.id) == [each.subject for each in (older, missed, sent, last)]
        assert await subjects_to(session, other.webhook_id) == ["users/3"]
        pending = (await as_staff.get(f"/webhook-deliveries?status=pending&webhook_id={webhook.id}")).json()["items"]
        assert [each["subject"] for each in pending] == ["users/5", "users/3", "users/2"]

    async def test_many_are_sent_again_by_several_requests(
        self, as_staff: AsyncClient, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The refusal says where to divide them, and nothing is lost or sent twice between two parts."""
        monkeypatch.setattr(webhook_deliveries, "MAX_REPLAYED", 2)
        webhook, begin = await a_webhook(session), utcnow() - timedelta(hours=1)
        await a_job(session, name=FOLLOWER, position=5)
        for place in range(1, 6):
            moment = begin + timedelta(minutes=place)
            await an_event(session, subject=f"users/{place}", position=place, timestamp=moment)

        since, parts = begin.isoformat(), []
        while True:
            sent = {"since": since}
            refused = await as_staff.post(f"/webhooks/{webhook.id}/replay", json=sent)
            if refused.status_code == 200:
                parts.append(refused.json()["events"])
                break
            assert_refused(refused, 422, "because there are more than 2 events")
            until = str(refused.json()["errors"][0]["message"]).split()[2]
            part = await as_staff.post(f"/webhooks/{webhook.id}/replay", json=sent | {"until": until})
            parts.append(part.json()["events"])
            since = until

        assert parts == [2, 2, 1]
        assert await subjects_to(session, webhook.id) == [f"users/{place}" for place in range(1, 6)]
