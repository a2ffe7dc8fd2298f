"""A job that is due is run once, whoever runs it; one that fails, or whose worker was killed, is run again."""

import asyncio
import logging
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from sqlmodel import select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth import tokens
from api.database.sessions import Database
from api.mail.following import LONGEST_WAIT
from api.models import webhook_delivery
from api.models.audit_entry import AuditEntry
from api.models.base import at, utcnow
from api.models.event import EventType
from api.models.job import Job
from api.models.mail import Mail
from api.rules import registration
from api.settings import Environment, Settings
from api.web import stored_answers
from api.worker import jobs, purging
from api.worker.fan_out import fan_out
from api.worker.job_rows import RELAY
from api.worker.jobs import Chore, run_due
from api.worker.mail import MAIL_FOLLOWER
from api.worker.relay import relay
from tests.books import rows_of
from tests.factories import a_job, a_registration, a_token, a_user, a_webhook, an_event, an_idempotency_key, an_order
from tests.sink import Sink
from tests.support import longest_backoff
from tests.worker.support import OpenWorker, Worker, deliveries, feed_of

MINUTE = timedelta(minutes=1)
EVERY = timedelta(hours=1)


class Work:
    """What a job does here: it counts, or fails as often as it is told."""

    def __init__(self, failures: int = 0) -> None:
        self.runs = 0
        self.failures = failures

    async def __call__(self, database: Database, settings: Settings) -> None:
        self.runs += 1
        await asyncio.sleep(0.01)
        if self.runs <= self.failures:
            raise ValueError(f"no paper\nin run {self.runs}")


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    """What the one job does, which is run every hour."""
    work = Work()
    monkeypatch.setattr(jobs, "CHORES", {"print": Chore(work, every=EVERY, lease=10 * MINUTE)})
    return work


async def job(session: AsyncSession) -> Job:
    return (await session.exec(select(Job).where(Job.name == "print"))).one()


async def change(session: AsyncSession, **values: object) -> None:
    await session.exec(update(Job).where(Job.name == "print").values(**values))  # type: ignore[arg-type]


class TestDue:
    async def test_a_job_without_a_row_gets_one_and_is_run(
        self, work: Work, database: Database, settings: Settings, session: AsyncSession
    ) -> None:
        before = utcnow()
        assert [await run_due(database, settings) for _ in range(3)] == [True, True, False]

        done = await job(session)
        assert work.runs == 1
        assert (done.claimed_until, done.failures, done.error) == (None, 0, None)
        assert done.finished_at is not None
        assert before <= done.finished_at <= done.due_at - EVERY + MINUTE
        assert {each.name for each in (await session.exec(select(Job))).all()} == {"print"}

    async def test_a_job_is_run_again_when_its_time_has_come(
        self, work: Work, database: Database, settings: Settings, session: AsyncSession
    ) -> None:
        for _ in range(3):
            await run_due(database, settings)
        assert work.runs == 1
        await change(session, due_at=utcnow())
        await run_due(database, settings)
        assert work.runs == 2

    async def test_of_several_workers_one_runs_it(
        self, work: Work, open_worker: OpenWorker, database: Database, settings: Settings, session: AsyncSession
    ) -> None:
        await run_due(database, settings)
        for runs in (1, 2, 3):
            await change(session, due_at=utcnow())
            async with AsyncExitStack() as stack:
                workers = [await stack.enter_async_context(open_worker()) for _ in range(4)]
                ran = await asyncio.gather(*(run_due(each, settings) for each in workers))
            assert (sorted(ran), work.runs) == ([False, False, False, True], runs)

    async def test_a_job_whose_worker_was_killed_is_run_when_its_lease_is_over(
        self, work: Work, database: Database, settings: Settings, session: AsyncSession
    ) -> None:
        await run_due(database, settings)
        await change(session, claimed_until=utcnow() + MINUTE)
        assert await run_due(database, settings) is False
        await change(session, claimed_until=utcnow())
        assert await run_due(database, settings) is True
        assert work.runs == 1


class TestFailure:
    async def test_a_job_that_fails_says_why_and_is_tried_again_later_and_later(
        self,
        work: Work,
        database: Database,
        settings: Settings,
        session: AsyncSession,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(jobs, "backoff", longest_backoff)
        work.failures = 2
        await run_due(database, settings)
        waits = []
        for failures in (1, 2):
            with caplog.at_level(logging.ERROR, logger=jobs.__name__):
                await run_due(database, settings)
            failed = await job(session)
            assert (failed.failures, failed.error, failed.claimed_until) == (failures, "no paper", None)
            assert failed.finished_at is None
            waits.append(failed.due_at - utcnow())
            assert await run_due(database, settings) is False
            await change(session, due_at=utcnow())
        await run_due(database, settings)

        done = await job(session)
        assert timedelta() < waits[0] <= MINUTE
        assert waits[1] <= 2 * MINUTE
        assert (work.runs, done.failures, done.error) == (3, 0, None)
        assert "the job print failed, and is tried again: no paper" in caplog.text

    async def test_a_job_is_stopped_before_its_lease_is_over(
        self, database: Database, settings: Settings, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def last(_: Database, __: Settings) -> None:
            await asyncio.sleep(60)

        chore = Chore(last, every=EVERY, lease=jobs.MARGIN + timedelta(milliseconds=10))
        monkeypatch.setattr(jobs, "CHORES", {"print": chore})
        await run_due(database, settings)
        await run_due(database, settings)
        assert (await job(session)).error == "TimeoutError"


class TestPurge:
    async def test_everything_is_purged_part_by_part(
        self, database: Database, settings: Settings, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On SQLite all other writes wait for a transaction: after years without a purge it would take minutes."""
        monkeypatch.setattr(stored_answers, "KEYS_AT_A_TIME", 2)
        monkeypatch.setattr(tokens, "TOKENS_AT_A_TIME", 2)
        monkeypatch.setattr(registration, "REGISTRATIONS_AT_A_TIME", 2)
        monkeypatch.setattr(purging, "ROWS_AT_A_TIME", 2)
        user, long_ago = await a_user(session), utcnow() - timedelta(days=400)
        for number in range(5):
            await an_idempotency_key(session, user, key=str(number), created_at=long_ago)
            await a_token(session, user, days=-1)
            await an_event(session, timestamp=long_ago, position=number + 1)
            await a_registration(session, expires_at=long_ago)
        await a_token(session, user, days=1)

        assert await purging.purge(database, settings) == (5, 5, 0, 5, 5, 0)
        assert await purging.purge(database, settings) == (0, 0, 0, 0, 0, 0)

    async def test_the_worker_purges_and_the_trail_says_so(
        self, database: Database, settings: Settings, session: AsyncSession
    ) -> None:
        _, token = await a_token(session, days=-1)
        for _ in range(2):
            await run_due(database, settings)
        (entry,) = await rows_of(session, AuditEntry)
        assert (entry.entity, entry.row_id, entry.action, entry.command) == ("tokens", token.id, "deleted", "purge")


class TestPurgeOfEvents:
    """What was not told yet stays, however old it is."""

    LONG_AGO = timedelta(days=45)

    async def test_events_of_weeks_without_a_worker_reach_their_webhooks_before_they_are_deleted(
        self, worker: Worker, sink: Sink, database: Database, settings: Settings, session: AsyncSession
    ) -> None:
        with at(utcnow() - self.LONG_AGO):
            await a_webhook(session, url=sink.url)
            for _ in range(3):
                await an_event(session)
        while await relay(database):  # the worker has just begun, and purges before it has told anybody
            pass
        assert (await purging.purge(database, settings)).events == 0

        await worker.work()
        assert len(sink.taken) == 3
        assert (await purging.purge(database, settings)).events == 3
        assert await deliveries(session) == []

    async def test_every_follower_of_the_present_is_waited_for_and_no_other_one(
        self, database: Database, settings: Settings, session: AsyncSession
    ) -> None:
        await a_job(session, name=webhook_delivery.FOLLOWER, position=4)
        await a_job(session, name=MAIL_FOLLOWER.name, position=2)
        for position in range(1, 6):
            await an_event(session, position=position, timestamp=utcnow() - self.LONG_AGO)

        assert (await purging.purge(database, settings)).events == 2
        without_mail = settings.model_copy(update={"environment": Environment.PRODUCTION})
        assert (await purging.purge(database, without_mail)).events == 2
        assert [place for place, _ in await feed_of(session)] == [5]

    async def test_mail_that_is_switched_on_after_months_sends_no_old_news(
        self, database: Database, settings: Settings, session: AsyncSession
    ) -> None:
        """What it was not told of meanwhile is passed over, and then deleted like everything else."""
        await a_job(session, name=RELAY, position=2)
        await a_job(session, name=MAIL_FOLLOWER.name, position=0)
        order, now = await an_order(session), utcnow()
        shipped = {"type": EventType.ORDER_SHIPPED, "subject": f"orders/{order.id}"}
        data = {"id": order.id, "user_id": order.user_id}
        for position, age in enumerate((self.LONG_AGO, LONGEST_WAIT + MINUTE), 1):
            await an_event(session, **shipped, data=data, position=position, timestamp=now - age)

        assert (await purging.purge(database, settings)).events == 0
        while await fan_out(database, [MAIL_FOLLOWER]):
            pass
        assert await rows_of(session, Mail) == []
        assert (await purging.purge(database, settings)).events == 1
