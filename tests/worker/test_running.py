"""The worker goes on whatever happens, and ends when it is told to."""

import asyncio
import logging

import pytest
from sqlalchemy.exc import OperationalError
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.settings import Settings
from api.worker import running
from api.worker.running import Duty, work
from tests.factories import an_event
from tests.worker.support import feed_of

NOT_REACHED = OperationalError("SELECT 1", {}, ConnectionError("nobody answers\nat all"))


async def until(condition: asyncio.Event) -> None:
    async with asyncio.timeout(10):
        await condition.wait()


class Outage:
    """A step that fails until the database answers."""

    def __init__(self, attempts: int) -> None:
        self.is_over = asyncio.Event()
        self.attempts = attempts

    async def __call__(self, _: Database) -> bool:
        if self.attempts:
            self.attempts -= 1
            raise NOT_REACHED
        self.is_over.set()
        return False


class TestWork:
    async def test_events_are_placed_within_a_second_until_the_worker_is_stopped(
        self, settings: Settings, database: Database, session: AsyncSession
    ) -> None:
        stop = asyncio.Event()
        working = asyncio.create_task(work(database, settings, stop))
        for number in (1, 2):
            await an_event(session, subject=f"users/{number}")
            async with asyncio.timeout(30):
                while len(await feed_of(session)) < number:  # noqa: ASYNC110 - the worker tells nobody
                    await asyncio.sleep(0.05)
        stop.set()
        async with asyncio.timeout(30):
            await working
        assert [subject for _, subject in await feed_of(session)] == ["users/1", "users/2"]

    async def test_an_error_of_the_database_is_one_line_and_the_worker_goes_on(
        self, settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        stop, step = asyncio.Event(), Outage(attempts=2)
        monkeypatch.setattr(running, "FIRST_BACKOFF", 0.01)
        monkeypatch.setattr(running, "duties", lambda _: [Duty("print", step, pause=0.01, time_limit=None)])
        with caplog.at_level(logging.WARNING, logger=running.__name__):
            working = asyncio.create_task(work(database, settings, stop))
            await until(step.is_over)
            stop.set()
            await working
        assert [each.getMessage() for each in caplog.records] == ["print is tried again: nobody answers"] * 2
        assert not any(each.exc_info for each in caplog.records)

    @pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
    async def test_a_weekend_without_a_database_ends_no_duty(
        self, settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Doubled more than a thousand times, a wait is no float any more."""
        stop, step = asyncio.Event(), Outage(attempts=1_100)
        monkeypatch.setattr(running, "FIRST_BACKOFF", 0.0)
        monkeypatch.setattr(running, "duties", lambda _: [Duty("print", step, pause=0.01, time_limit=None)])
        working = asyncio.create_task(work(database, settings, stop))
        await until(step.is_over)
        stop.set()
        await working
        assert step.attempts == 0

    async def test_a_mistake_in_one_duty_is_logged_and_ends_no_other_one(
        self, settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        stop, failed, went_on = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def fail(_: Database) -> bool:
            failed.set()
            raise ZeroDivisionError

        async def go_on(_: Database) -> bool:
            if failed.is_set():
                went_on.set()
            return False

        failing = [Duty("fail", fail, 0.01, None), Duty("go on", go_on, 0.01, None)]
        monkeypatch.setattr(running, "duties", lambda _: failing)
        with caplog.at_level(logging.ERROR, logger=running.__name__):
            working = asyncio.create_task(work(database, settings, stop))
            await until(went_on)
            stop.set()
            await working
        (record,) = caplog.records
        assert record.getMessage() == "fail ended with an error, and is tried again"
        assert record.exc_info

    @pytest.mark.parametrize("seconds", [0.05, 60])
    async def test_what_is_being_done_at_a_stop_may_end_within_seconds(
        self, settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch, seconds: float
    ) -> None:
        stop, begun, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def step(_: Database) -> bool:
            begun.set()
            await asyncio.sleep(seconds)
            ended.set()
            return True

        monkeypatch.setattr(running, "STOP_GRACE", 0.5)
        monkeypatch.setattr(running, "duties", lambda _: [Duty("print", step, pause=0.01, time_limit=None)])
        working = asyncio.create_task(work(database, settings, stop))
        await until(begun)
        stop.set()
        async with asyncio.timeout(30):
            await working
        assert ended.is_set() == (seconds < 1)
