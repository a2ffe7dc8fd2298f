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
from api.models.audit_entry import AuditEntry
from api.models.base import utcnow
from api.models.job import Job
from api.web import stored_answers
from api.worker import jobs, purging
from api.worker.jobs import CHORES, RELAY, Chore, run_due
from tests.books import rows_of
from tests.factories import a_token, a_user, an_event, an_idempotency_key
from tests.worker.support import OpenWorker

MINUTE = timedelta(minutes=1)
EVERY = timedelta(hours=1)


class Work:
    """What a job does here: it counts, or fails as often as it is told."""

    def __init__(self, failures: int = 0) -> None:
        self.runs = 0
        self.failures = failures

    async def __call__(self, database: Database) -> None:
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
        self, work: Work, database: Database, session: AsyncSession
    ) -> None:
        before = utcnow()
        assert [await run_due(database) for _ in range(3)] == [True, True, False]

        done = await job(session)
        assert work.runs == 1
        assert (done.claimed_until, done.failures, done.error) == (None, 0, None)
        assert done.finished_at is not None
        assert before <= done.finished_at <= done.due_at - EVERY + MINUTE
        assert {each.name for each in (await session.exec(select(Job))).all()} == {"print", RELAY}

    async def test_a_job_is_run_again_when_its_time_has_come(
        self, work: Work, database: Database, session: AsyncSession
    ) -> None:
        for _ in range(3):
            await run_due(database)
        assert work.runs == 1
        await change(session, due_at=utcnow())
        await run_due(database)
        assert work.runs == 2

    async def test_of_several_workers_one_runs_it(
        self, work: Work, open_worker: OpenWorker, database: Database, session: AsyncSession
    ) -> None:
        await run_due(database)
        for runs in (1, 2, 3):
            await change(session, due_at=utcnow())
            async with AsyncExitStack() as stack:
                workers = [await stack.enter_async_context(open_worker()) for _ in range(4)]
                ran = await asyncio.gather(*(run_due(each) for each in workers))
            assert (sorted(ran), work.runs) == ([False, False, False, True], runs)

    async def test_a_job_whose_worker_was_killed_is_run_when_its_lease_is_over(
        self, work: Work, database: Database, session: AsyncSession
    ) -> None:
        await run_due(database)
        await change(session, claimed_until=utcnow() + MINUTE)
        assert await run_due(database) is False
        await change(session, claimed_until=utcnow())
        assert await run_due(database) is True
        assert work.runs == 1


class TestFailure:
    async def test_a_job_that_fails_says_why_and_is_tried_again_later_and_later(
        self, work: Work, database: Database, session: AsyncSession, caplog: pytest.LogCaptureFixture
    ) -> None:
        work.failures = 2
        await run_due(database)
        waits = []
        for failures in (1, 2):
            with caplog.at_level(logging.ERROR, logger=jobs.__name__):
                await run_due(database)
            failed = await job(session)
            assert (failed.failures, failed.error, failed.claimed_until) == (failures, "no paper", None)
            assert failed.finished_at is None
            waits.append(failed.due_at - utcnow())
            assert await run_due(database) is False
            await change(session, due_at=utcnow())
        await run_due(database)

        done = await job(session)
        assert timedelta() < waits[0] <= MINUTE
        assert waits[1] <= 2 * MINUTE
        assert (work.runs, done.failures, done.error) == (3, 0, None)
        assert "the job print failed, and is tried again: no paper" in caplog.text

    async def test_a_job_is_stopped_before_its_lease_is_over(
        self, database: Database, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def last(_: Database) -> None:
            await asyncio.sleep(60)

        chore = Chore(last, every=EVERY, lease=jobs.MARGIN + timedelta(milliseconds=10))
        monkeypatch.setattr(jobs, "CHORES", {"print": chore})
        await run_due(database)
        await run_due(database)
        assert (await job(session)).error == "TimeoutError"

    @pytest.mark.parametrize("failures", [1, 2, 10, 1_000])
    def test_the_wait_doubles_up_to_the_time_between_two_runs(self, failures: int) -> None:
        wait = jobs._backoff(failures, CHORES["purge"])
        assert 0.5 <= wait / min(timedelta(days=1), MINUTE * 2 ** min(failures - 1, 30)) <= 1


class TestPurge:
    async def test_everything_is_purged_part_by_part(
        self, database: Database, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On SQLite all other writes wait for a transaction: after years without a purge it would take minutes."""
        monkeypatch.setattr(stored_answers, "KEYS_AT_A_TIME", 2)
        monkeypatch.setattr(tokens, "TOKENS_AT_A_TIME", 2)
        monkeypatch.setattr(purging, "EVENTS_AT_A_TIME", 2)
        user, long_ago = await a_user(session), utcnow() - timedelta(days=400)
        for number in range(5):
            await an_idempotency_key(session, user, key=str(number), created_at=long_ago)
            await a_token(session, user, days=-1)
            await an_event(session, timestamp=long_ago, position=number + 1)
        await a_token(session, user, days=1)

        assert await purging.purge(database) == (5, 5, 0, 5)
        assert await purging.purge(database) == (0, 0, 0, 0)

    async def test_the_worker_purges_and_the_trail_says_so(self, database: Database, session: AsyncSession) -> None:
        _, token = await a_token(session, days=-1)
        for _ in range(2):
            await run_due(database)
        (entry,) = await rows_of(session, AuditEntry)
        assert (entry.entity, entry.row_id, entry.action, entry.command) == ("tokens", token.id, "deleted", "purge")
