"""Events reach webhooks: signed, each under one id, in order for each subject, whatever the receiver does."""

import asyncio
import json
from collections import defaultdict
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest
from httpx import AsyncClient
from sqlmodel import col, delete, update
from sqlmodel.ext.asyncio.session import AsyncSession
from standardwebhooks.webhooks import Webhook as Receiver

from api.models.base import at, utcnow
from api.models.event import Event, EventType
from api.models.mail import Mail, MailKind
from api.models.notification import Notification
from api.models.outgoing import OutgoingStatus
from api.models.user import User
from api.models.webhook import Webhook
from api.settings import Environment, Settings
from api.worker import next_deliveries
from api.worker.fan_out import fan_out
from api.worker.http_client import HttpClient
from api.worker.queue import Queue
from api.worker.relay import relay
from api.worker.webhook_pauses import DOWN, GONE, LONGEST_PAUSE, PATIENCE
from api.worker.webhooks import FOLLOWER, RETRIES, Deliveries
from tests.books import rows_of
from tests.factories import a_user, a_webhook, a_webhook_delivery, an_event
from tests.rules.failing_notifications import failing_notifications
from tests.sink import Received, Sink, answer
from tests.worker.support import OpenWorker, Worker, deliveries, webhook_now

MINUTE = timedelta(minutes=1)


async def events(session: AsyncSession, *subjects: str) -> list[Event]:
    return [await an_event(session, subject=each) for each in subjects]


def by_subject(received: list[Received]) -> dict[str, list[str]]:
    found = defaultdict(list)
    for each in received:
        found[json.loads(each.body)["subject"]].append(each.id)
    return found


class TestRequest:
    async def test_an_event_is_sent_as_the_feed_has_it_and_signed(
        self, worker: Worker, sink: Sink, session: AsyncSession, as_staff: AsyncClient
    ) -> None:
        webhook = await a_webhook(session, url=sink.url)
        (event,) = await events(session, "users/7")
        await worker.work()

        (received,) = sink.received
        assert received.head == "POST /hook HTTP/1.1"
        assert received.headers["content-type"] == "application/json"
        assert received.headers["user-agent"].startswith("Shop-Webhooks/")
        assert received.id == f"evt_{event.id}"
        assert abs(int(received.headers["webhook-timestamp"]) - utcnow().timestamp()) < 60
        assert b'{"items":[%b],' % received.body in (await as_staff.get("/events")).content
        Receiver(webhook.secret).verify(received.body, dict(received.headers))
        (sent,) = await deliveries(session)
        assert (sent.status, sent.attempts, sent.http_status, sent.error) == (OutgoingStatus.SENT, 1, 204, None)
        assert sent.sent_at is not None
        assert sent.duration is not None

    async def test_a_changed_body_or_another_secret_does_not_fit_the_signature(
        self, worker: Worker, sink: Sink, session: AsyncSession
    ) -> None:
        webhook, other = await a_webhook(session, url=sink.url), await a_webhook(session, is_active=False)
        await events(session, "users/7")
        await worker.work()
        (received,) = sink.received
        for secret, body in ((webhook.secret, received.body + b" "), (other.secret, received.body)):
            with pytest.raises(Exception, match="No matching signature"):
                Receiver(secret).verify(body, dict(received.headers))

    async def test_after_a_rotation_both_secrets_fit_for_a_day(
        self, worker: Worker, sink: Sink, session: AsyncSession, as_staff: AsyncClient
    ) -> None:
        webhook = await a_webhook(session, url=sink.url)
        old = webhook.secret
        new = (await as_staff.post(f"/webhooks/{webhook.id}/secret")).json()["secret"]
        await events(session, "users/7")
        await worker.work()
        with at(utcnow() + timedelta(hours=25)):
            await events(session, "users/8")
            await worker.work()

        first, later = sink.received
        for secret in (old, new):
            Receiver(secret).verify(first.body, dict(first.headers))
        assert len(first.headers["webhook-signature"].split()) == 2
        assert len(later.headers["webhook-signature"].split()) == 1

    async def test_a_connection_is_used_again(self, worker: Worker, sink: Sink, session: AsyncSession) -> None:
        await a_webhook(session, url=sink.url)
        for number in range(5):
            await events(session, f"users/{number}")
            await worker.work()
        assert (len(sink.received), sink.connections) == (5, 1)


class TestFanOut:
    async def test_a_webhook_is_told_of_its_types_from_its_beginning_on(
        self, worker: Worker, session: AsyncSession
    ) -> None:
        await events(session, "users/1")
        await worker.work()
        all_, some = await a_webhook(session), await a_webhook(session, types=[EventType.ORDER_PLACED])
        off = await a_webhook(session, is_active=False)
        await events(session, "users/2")
        await an_event(session, subject="orders/3", type=EventType.ORDER_PLACED)
        while await relay(worker.database) or await fan_out(worker.database, [FOLLOWER]):
            pass

        told = [(each.webhook_id, each.subject) for each in await deliveries(session)]
        assert told == [(all_.id, "users/2"), (all_.id, "orders/3"), (some.id, "orders/3")]
        assert off.id not in {webhook_id for webhook_id, _ in told}

    async def test_what_happened_before_it_was_added_is_not_sent_where_a_worker_learns_of_it_later(
        self, worker: Worker, session: AsyncSession
    ) -> None:
        await events(session, "users/1")
        with at(utcnow() + 2 * MINUTE):
            await a_webhook(session)
            await events(session, "users/2")
        while await relay(worker.database) or await fan_out(worker.database, [FOLLOWER]):
            pass
        assert [each.subject for each in await deliveries(session)] == ["users/2"]

    async def test_several_workers_write_and_send_each_delivery_once(
        self, worker: Worker, sink: Sink, session: AsyncSession, open_worker: OpenWorker, settings: Settings
    ) -> None:
        await a_webhook(session, url=sink.url)
        told = await events(session, *(f"orders/{number % 20}" for number in range(200)))
        async with AsyncExitStack() as stack:
            workers = [Worker(await stack.enter_async_context(open_worker()), settings) for _ in range(3)]

            async def work(each: Worker) -> None:
                while len(sink.received) < len(told):
                    try:
                        await each.work()
                    except Exception as error:  # one waits for another, and is told to come again
                        print(error)
                    await asyncio.sleep(0.01)
                await each.queue.finish(each.database)

            async with asyncio.timeout(60):
                await asyncio.gather(*map(work, workers))

        assert sorted(sink.ids) == sorted(f"evt_{each.id}" for each in told)
        for ids in by_subject(sink.received).values():
            assert ids == sorted(ids, key=lambda each: int(each[4:]))

    async def test_an_erased_person_takes_pending_deliveries_along(
        self, worker: Worker, sink: Sink, session: AsyncSession
    ) -> None:
        await a_webhook(session, url=sink.url, paused_until=utcnow() + MINUTE)
        user = await a_user(session)
        await an_event(session, user_id=user.id, subject=f"users/{user.id}")
        await worker.work()
        assert len(await deliveries(session)) == 1
        await session.exec(delete(Event).where(col(Event.user_id) == user.id))
        assert await deliveries(session) == []


class TestFailure:
    async def test_what_a_receiver_missed_in_an_hour_arrives_in_order(
        self, worker: Worker, sink: Sink, session: AsyncSession
    ) -> None:
        webhook, begin = await a_webhook(session, url=sink.url), utcnow()
        sink.answers(500)
        told: list[Event] = []
        for minute in range(60):
            with at(begin + minute * MINUTE):
                told += await events(session, *(f"orders/{number}" for number in range(5)))
                await worker.work()
        called = len(sink.received)
        assert called <= 60, "it is paused as a whole"
        down = await webhook_now(session)
        assert down.failures >= 3
        assert down.failing_since is not None
        assert begin - MINUTE <= down.failing_since <= begin + MINUTE

        sink.answers(204)
        sink.received.clear()
        with at(begin + timedelta(hours=1, seconds=LONGEST_PAUSE)):
            await worker.work()

        assert sorted(sink.ids) == sorted(f"evt_{each.id}" for each in told)
        for subject, ids in by_subject(sink.received).items():
            assert ids == [f"evt_{each.id}" for each in told if each.subject == subject]
        up = await webhook_now(session)
        assert (up.id, up.failures, up.failing_since, up.paused_until) == (webhook.id, 0, None, None)

    async def test_a_delivery_is_tried_again_later_and_later_under_the_same_id(
        self, worker: Worker, sink: Sink, session: AsyncSession
    ) -> None:
        """One that is refused, while its webhook takes others, is given up after the standard's ten attempts."""
        await a_webhook(session, url=sink.url)
        (bad,) = await events(session, "orders/1")
        sink.reply = lambda received: answer(400 if received.id == f"evt_{bad.id}" else 204)
        now = utcnow()
        for wait in (timedelta(), *RETRIES):
            now += wait * 1.2 + timedelta(seconds=LONGEST_PAUSE)
            with at(now):
                await events(session, "orders/2")
                await worker.work()
        assert sink.ids.count(f"evt_{bad.id}") == 1 + len(RETRIES)
        (given_up,) = [each for each in await deliveries(session) if each.subject == "orders/1"]
        assert (given_up.status, given_up.http_status) == (OutgoingStatus.FAILED, 400)
        assert given_up.error == "It answered 400."
        assert all(each.status is OutgoingStatus.SENT for each in await deliveries(session) if each is not given_up)

    async def test_the_waits_are_those_of_the_standard(self, worker: Worker, sink: Sink, session: AsyncSession) -> None:
        await a_webhook(session, url=sink.url)
        await events(session, "orders/1")
        sink.answers(500)
        now = utcnow()
        for number, wait in enumerate(RETRIES, 1):
            with at(now):
                await worker.work()
            (failed,) = await deliveries(session)
            assert failed.attempts == number
            assert wait <= failed.due_at - now <= wait * 1.2 + MINUTE
            now = max(failed.due_at, (await webhook_now(session)).paused_until or now)

    async def test_later_events_of_a_subject_wait_for_an_earlier_one(
        self, worker: Worker, sink: Sink, session: AsyncSession
    ) -> None:
        await a_webhook(session, url=sink.url)
        first, second, other = await events(session, "orders/1", "orders/1", "orders/2")
        sink.reply = lambda received: answer(500 if received.id == f"evt_{first.id}" else 204)
        await worker.work()
        with at(utcnow() + timedelta(seconds=5)):  # after the pause, and before the first one is due
            await worker.work()
        assert [each.id for each in sink.taken] == [f"evt_{other.id}"]
        sink.answers(204)
        with at(utcnow() + timedelta(hours=1)):
            await worker.work()
        assert [each.id for each in sink.taken] == [f"evt_{each.id}" for each in (other, first, second)]

    async def test_events_behind_many_that_wait_for_an_earlier_one_are_sent(
        self, worker: Worker, sink: Sink, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The oldest that wait are looked at first, of which none may be sent."""
        monkeypatch.setattr(next_deliveries, "LOOKED_AT", 3)
        await a_webhook(session, url=sink.url)
        first, *_ = await events(session, *["orders/1"] * 5)
        sink.reply = lambda received: answer(500 if received.id == f"evt_{first.id}" else 204)
        await worker.work()
        (other,) = await events(session, "orders/2")
        with at(utcnow() + timedelta(seconds=5)):  # after the pause, and before the first one is due
            await worker.work()
        assert [each.id for each in sink.taken] == [f"evt_{other.id}"]

    @pytest.mark.parametrize(
        ("status", "headers", "error"),
        [
            (302, ("Location: http://127.0.0.1:1/",), "It answered 302: redirects are not followed."),
            (404, (), "It answered 404."),
            (503, ("Retry-After: 1800",), "It answered 503."),
        ],
    )
    async def test_an_answer_that_is_no_2xx_is_a_failure_that_says_so(
        self, worker: Worker, sink: Sink, session: AsyncSession, status: int, headers: tuple[str, ...], error: str
    ) -> None:
        await a_webhook(session, url=sink.url)
        await events(session, "orders/1")
        sink.answers(status, *headers)
        await worker.work()
        (failed,) = await deliveries(session)
        assert (failed.status, failed.http_status, failed.error) == (OutgoingStatus.PENDING, status, error)
        assert len(sink.received) == 1

    @pytest.mark.parametrize(
        ("asked", "seconds"),
        [
            ("1800", 1_800),
            ("86400", 3_600),
            ("soon", 0),
            ("-5", 0),
            ("Fri, 31 Dec 9999 23:59:59 -0000", 3_600),
            ("Fri, 31 Dec 9999 23:59:59 -2359", 3_600),
        ],
    )
    async def test_a_receiver_that_asks_for_time_gets_it_within_bounds(
        self, worker: Worker, sink: Sink, session: AsyncSession, asked: str, seconds: int
    ) -> None:
        await a_webhook(session, url=sink.url)
        await events(session, "orders/1")
        sink.answers(429, f"Retry-After: {asked}")
        before = utcnow()
        await worker.work()
        paused = (await webhook_now(session)).paused_until
        assert paused is not None
        assert seconds <= (paused - before).total_seconds() <= seconds + 60
        assert (await webhook_now(session)).failures == 1

    async def test_a_mistake_of_the_shops_own_is_a_failure_too(
        self, worker: Worker, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Otherwise the delivery would be tried for ever, and what waits behind it would never be sent."""

        async def fail(*_: object) -> None:
            raise ZeroDivisionError("A mistake")

        monkeypatch.setattr(HttpClient, "post", fail)
        await a_webhook(session)
        await events(session, "orders/1")
        await worker.work()
        (failed,) = await deliveries(session)
        assert (failed.attempts, failed.error) == (1, "A mistake")
        assert (await webhook_now(session)).failures == 1

    async def test_a_date_for_retry_after_counts_too(self, worker: Worker, sink: Sink, session: AsyncSession) -> None:
        sink.answers(503, "Retry-After: Tue, 12 May 2026 10:00:00 GMT")
        with at(datetime(2026, 5, 12, 9, 30, tzinfo=UTC)):
            await a_webhook(session, url=sink.url)
            await events(session, "orders/1")
            await worker.work()
        paused = (await webhook_now(session)).paused_until
        assert paused is not None
        assert timedelta() <= paused - datetime(2026, 5, 12, 10, tzinfo=UTC) <= MINUTE


class TestDisabling:
    async def test_a_webhook_that_is_gone_is_disabled_at_once(
        self, worker: Worker, sink: Sink, session: AsyncSession, as_staff: AsyncClient
    ) -> None:
        webhook = await a_webhook(session, url=sink.url)
        await events(session, "orders/1", "orders/2")
        sink.answers(410)
        await worker.work()
        its = (await as_staff.get(f"/webhooks/{webhook.id}")).json()
        assert (its["is_active"], its["disabled_reason"]) == (False, GONE)
        (entry, *_) = (await as_staff.get("/audit?entity=webhooks")).json()["items"]
        assert entry["changes"]["is_active"] == [True, False]

    async def test_a_webhook_that_takes_nothing_for_days_is_disabled_and_goes_on_when_it_is_enabled(
        self, worker: Worker, sink: Sink, session: AsyncSession, as_staff: AsyncClient
    ) -> None:
        webhook = await a_webhook(session, url=sink.url)
        told, now = await events(session, "orders/1", "orders/1", "orders/2"), utcnow()
        sink.answers(500)
        end = now + PATIENCE + timedelta(days=2)
        while (its := await webhook_now(session)).is_active and now < end:
            with at(now):
                await worker.work()
            now += timedelta(hours=4)
        assert (its.is_active, its.disabled_reason) == (False, DOWN)
        assert its.disabled_at is not None
        assert its.disabled_at - (its.failing_since or now) >= PATIENCE
        assert all(each.status is OutgoingStatus.PENDING for each in await deliveries(session)), "nothing is lost"

        sink.received.clear()
        sink.answers(204)
        await worker.work()
        assert sink.received == []
        await as_staff.patch(f"/webhooks/{webhook.id}", json={"is_active": True})
        await worker.work()
        assert sorted(sink.ids) == sorted(f"evt_{each.id}" for each in told)

    @pytest.mark.parametrize("change", [{"is_active": True}, {"url": "http://127.0.0.1:1/"}], ids=["enabled", "moved"])
    async def test_one_that_fails_again_after_staff_have_changed_it_loses_nothing(
        self, worker: Worker, sink: Sink, session: AsyncSession, as_staff: AsyncClient, change: dict[str, object]
    ) -> None:
        """After days without an answer a delivery has more attempts than it gets, and gets all of them anew."""
        webhook = await a_webhook(session, url=sink.url, failures=12, is_active="url" in change)
        for _ in range(2):
            await a_webhook_delivery(session, webhook=webhook, attempts=12)
        sink.answers(503)
        await as_staff.patch(f"/webhooks/{webhook.id}", json=change)

        while await worker.queue.step(worker.database):
            pass

        left = [(each.status, each.attempts) for each in await deliveries(session)]
        assert left == [(OutgoingStatus.PENDING, 1)] * 2

    @pytest.mark.parametrize("status", [410, 204])
    async def test_what_the_old_url_says_means_nothing_for_a_new_one(
        self, worker: Worker, sink: Sink, session: AsyncSession, as_staff: AsyncClient, status: int
    ) -> None:
        webhook = await a_webhook(session, url=sink.url)
        await events(session, "orders/1")
        asked, go_on = asyncio.Event(), asyncio.Event()

        async def reply(received: Received) -> bytes:
            asked.set()
            await go_on.wait()
            return answer(status)

        sink.reply = reply
        working = asyncio.create_task(worker.work())
        async with asyncio.timeout(30):
            await asked.wait()
            await as_staff.patch(f"/webhooks/{webhook.id}", json={"url": "http://127.0.0.1:1/"})
            await session.exec(update(Webhook).values(failures=2))
            go_on.set()
            await working

        its = await webhook_now(session)
        assert (its.is_active, its.disabled_reason) == (True, None)
        assert its.failures >= 2
        (waiting,) = await deliveries(session)
        assert waiting.status is OutgoingStatus.PENDING

    async def test_every_active_staff_user_is_told_once_by_a_notification_and_a_mail(
        self, worker: Worker, sink: Sink, session: AsyncSession, as_staff: AsyncClient, staff: User
    ) -> None:
        other = await a_user(session, is_superuser=True)
        await a_user(session, is_superuser=True, is_active=False)
        await a_user(session)
        webhook = await a_webhook(session, url=f"{sink.url}?token=secret", description="The warehouse")
        await events(session, "orders/1", "orders/2")
        sink.answers(410)
        for _ in range(2):
            await worker.work()

        (told,) = (await as_staff.get("/notifications")).json()["items"]
        assert (told["kind"], told["order_id"], told["read_at"]) == ("webhook_disabled", None, None)
        assert told["message"] == f"The webhook {webhook.id} (The warehouse, 127.0.0.1) was disabled. {GONE}"
        assert [each.user_id for each in await rows_of(session, Notification)] == [staff.id, other.id]
        mails = [(each.user_id, each.kind, each.about) for each in await rows_of(session, Mail)]
        assert mails == [(each.id, MailKind.WEBHOOK_DISABLED, f"webhooks/{webhook.id}") for each in (staff, other)]

    async def test_where_no_mail_is_sent_none_is_queued(
        self, worker: Worker, session: AsyncSession, staff: User, settings: Settings
    ) -> None:
        worker.queue = Queue(Deliveries(settings.model_copy(update={"environment": Environment.PRODUCTION})))
        webhook = await a_webhook(session, url="http://x.example/", failing_since=utcnow() - PATIENCE)
        await events(session, "orders/1")
        await worker.work()
        (told,) = await rows_of(session, Notification)
        assert (told.user_id, told.message) == (staff.id, f"The webhook {webhook.id} (x.example) was disabled. {DOWN}")
        assert await rows_of(session, Mail) == []

    async def test_it_is_disabled_also_where_nobody_can_be_told(
        self, worker: Worker, sink: Sink, session: AsyncSession, staff: User
    ) -> None:
        await a_webhook(session, url=sink.url)
        await events(session, "orders/1")
        sink.answers(410)
        async with failing_notifications(session):
            await worker.work()
        assert (await webhook_now(session)).disabled_reason == GONE
        assert await rows_of(session, Notification) == []

    async def test_staff_who_disable_a_webhook_themselves_are_not_told(
        self, session: AsyncSession, as_staff: AsyncClient
    ) -> None:
        webhook = await a_webhook(session)
        await as_staff.patch(f"/webhooks/{webhook.id}", json={"is_active": False})
        assert (await as_staff.get("/notifications")).json()["items"] == []

    async def test_a_webhook_that_is_disabled_meanwhile_is_sent_nothing(
        self, worker: Worker, sink: Sink, session: AsyncSession
    ) -> None:
        await a_webhook(session, url=sink.url, paused_until=utcnow() + MINUTE)
        await events(session, "orders/1")
        await worker.work()
        await session.exec(update(Webhook).values(is_active=False, paused_until=None))
        await worker.work()
        assert sink.received == []
