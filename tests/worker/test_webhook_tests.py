"""A test reaches its webhook alone: signed, once, whatever became of events, and it says nothing of the webhook."""

import json
from datetime import timedelta
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel import update
from sqlmodel.ext.asyncio.session import AsyncSession
from standardwebhooks.webhooks import Webhook as Receiver

from api.database.sessions import Database
from api.models.base import at, utcnow
from api.models.outgoing import OutgoingStatus
from api.models.webhook import Webhook
from api.models.webhook_delivery import WebhookDelivery
from api.settings import Settings
from api.worker.channels import Outcome
from api.worker.queue import Queue
from api.worker.webhooks import TEST_PATIENCE, Deliveries
from tests.factories import a_webhook, an_event
from tests.sink import Sink
from tests.worker.support import Worker, deliveries, webhook_now

MINUTE = timedelta(minutes=1)


async def begin_test(as_staff: AsyncClient, webhook: Webhook) -> int:
    begun = await as_staff.post(f"/webhooks/{webhook.id}/test")
    assert begun.status_code == 201
    delivery_id: int = begun.json()["id"]
    return delivery_id


async def test_it_is_signed_and_has_the_webhook_and_nobody_else_gets_it(
    worker: Worker, sink: Sink, session: AsyncSession, as_staff: AsyncClient
) -> None:
    webhook = await a_webhook(session, url=sink.url)
    await a_webhook(session, url=f"{sink.url}/other")
    delivery_id = await begin_test(as_staff, webhook)
    await worker.work()

    (received,) = sink.received
    assert (received.head, received.id) == ("POST /hook HTTP/1.1", f"test_{delivery_id}")
    Receiver(webhook.secret).verify(received.body, dict(received.headers))
    (sent,) = (await as_staff.get("/webhook-deliveries")).json()["items"]
    assert (sent["status"], sent["attempts"], sent["http_status"], sent["error"]) == ("sent", 1, 204, None)
    assert json.loads(received.body) == {
        "id": 0,
        "type": "webhook.test",
        "timestamp": sent["created_at"],
        "subject": f"webhooks/{webhook.id}",
        "data": (await as_staff.get(f"/webhooks/{webhook.id}")).json(),
    }
    assert webhook.secret.removeprefix("whsec_") not in received.body.decode()
    assert (await as_staff.get("/events")).json()["items"] == []


@pytest.mark.parametrize(
    "state",
    [
        {"is_active": False},
        {"failures": 5, "paused_until": utcnow() + timedelta(days=1)},
        {"types": ["order.placed"]},
    ],
    ids=["disabled", "paused", "of other types"],
)
async def test_it_is_sent_whatever_the_state_of_the_webhook_is_and_changes_none_of_it(
    worker: Worker, sink: Sink, session: AsyncSession, as_staff: AsyncClient, state: dict[str, Any]
) -> None:
    webhook = await a_webhook(session, url=sink.url, **state)
    before = (await as_staff.get(f"/webhooks/{webhook.id}")).json()
    await begin_test(as_staff, webhook)
    await worker.work()
    assert len(sink.taken) == 1
    assert (await as_staff.get(f"/webhooks/{webhook.id}")).json() == before


@pytest.mark.parametrize("status", [302, 410, 500, 503])
async def test_one_that_fails_is_not_tried_again_and_neither_pauses_nor_disables(
    worker: Worker, sink: Sink, session: AsyncSession, as_staff: AsyncClient, status: int
) -> None:
    webhook = await a_webhook(session, url=sink.url)
    sink.answers(status, "Retry-After: 60")
    await begin_test(as_staff, webhook)
    await worker.work()
    with at(utcnow() + timedelta(days=1)):
        await worker.work()

    assert len(sink.received) == 1
    (failed,) = await deliveries(session)
    assert (failed.status, failed.attempts, failed.http_status) == (OutgoingStatus.FAILED, 1, status)
    assert str(failed.error).startswith(f"It answered {status}")
    now = await webhook_now(session)
    assert (now.is_active, now.failures, now.failing_since, now.paused_until) == (True, 0, None, None)


async def test_it_does_not_wait_for_events_that_wait(
    worker: Worker, sink: Sink, session: AsyncSession, as_staff: AsyncClient
) -> None:
    webhook = await a_webhook(session, url=sink.url, failures=5, paused_until=utcnow() + MINUTE)
    await an_event(session, subject="orders/1")
    await worker.work()
    assert sink.received == []
    await begin_test(as_staff, webhook)
    await worker.work()
    assert [each.id[:5] for each in sink.taken] == ["test_"]
    with at(utcnow() + 2 * MINUTE):
        await worker.work()
    assert [each.id[:4] for each in sink.taken] == ["test", "evt_"]


async def test_one_whose_worker_was_killed_is_sent_by_another_one_under_the_same_id(
    worker: Worker, sink: Sink, session: AsyncSession, as_staff: AsyncClient
) -> None:
    delivery_id = await begin_test(as_staff, await a_webhook(session, url=sink.url))
    killed = {"claim": "of a worker that was killed", "claimed_until": utcnow() + MINUTE}
    await session.exec(update(WebhookDelivery).values(**killed))
    await worker.work()
    assert sink.received == []
    with at(utcnow() + 2 * MINUTE):
        await worker.work()
    assert sink.ids == [f"test_{delivery_id}"]


async def test_one_for_which_no_worker_ran_is_given_up(
    worker: Worker, sink: Sink, session: AsyncSession, as_staff: AsyncClient
) -> None:
    webhook = await a_webhook(session, url=sink.url)
    with at(utcnow() - TEST_PATIENCE - MINUTE):
        late = await begin_test(as_staff, webhook)
    await worker.work()
    assert sink.received == []
    (failed,) = await deliveries(session)
    assert (failed.status, failed.error) == (OutgoingStatus.FAILED, "It has waited for too long.")

    await as_staff.post(f"/webhook-deliveries/{late}/replay")
    await worker.work()
    assert sink.ids == [f"test_{late}"], "whoever asks again is here"


async def test_a_mistake_of_the_shops_own_is_tried_once_more_at_most(
    worker: Worker, sink: Sink, session: AsyncSession, as_staff: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> Outcome:
        raise ZeroDivisionError

    await begin_test(as_staff, await a_webhook(session, url=sink.url))
    with monkeypatch.context() as patched:
        patched.setattr(Deliveries, "_post", fail)
        await worker.work()
    with at(utcnow() + timedelta(hours=1)):
        await worker.work()
    assert sink.received == []
    (failed,) = await deliveries(session)
    assert (failed.status, failed.error) == (OutgoingStatus.FAILED, "ZeroDivisionError")


async def test_a_private_address_is_not_called(
    worker: Worker, sink: Sink, session: AsyncSession, as_staff: AsyncClient, database: Database, settings: Settings
) -> None:
    queue: Queue[WebhookDelivery] = Queue(Deliveries(settings))
    await begin_test(as_staff, await a_webhook(session, url=sink.url))
    while await queue.step(database):
        pass
    await queue.finish(database)
    assert sink.connections == 0
    (failed,) = await deliveries(session)
    assert (failed.status, failed.error) == (
        OutgoingStatus.FAILED,
        "Its host leads to an address that is not public.",
    )


async def test_several_tests_of_a_webhook_come_one_after_the_other(
    worker: Worker, sink: Sink, session: AsyncSession, as_staff: AsyncClient
) -> None:
    webhook = await a_webhook(session, url=sink.url)
    begun = [await begin_test(as_staff, webhook) for _ in range(3)]
    await worker.work()
    assert sink.ids == [f"test_{each}" for each in begun]
