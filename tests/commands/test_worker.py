"""`python -m api worker` numbers events until it is stopped, and so does `python -m api`, unless it is told not to."""

import signal
import time
from collections.abc import Callable

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.alembic_support import on_engine, sql
from tests.commands.support import count, finish, read_until, running
from tests.factories import an_event
from tests.support import FreshSession

NEWCOMER = {"username": "anna", "email": "anna@example.com", "password": "SecurePass123"}
PATIENCE = 20
"""Seconds for what takes one, on a busy machine."""


def happen(url: str, events: int) -> None:
    async def write(engine: AsyncEngine) -> None:
        async with FreshSession(engine) as session:
            for _ in range(events):
                await an_event(session)

    on_engine(url, write)


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "the worker does not do it"
        time.sleep(0.05)


def placed(url: str) -> int:
    return count(url, "events", "position IS NOT NULL")


class TestWorker:
    @pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
    def test_it_numbers_events_and_purges_until_it_is_stopped(self, migrated: str, sent: signal.Signals) -> None:
        happen(migrated, 3)
        with running("api", "worker") as process:
            read_until(process, "(The worker has started)")
            wait_for(lambda: placed(migrated) == 3)
            wait_for(lambda: count(migrated, "jobs", "name = 'purge' AND finished_at IS NOT NULL") == 1)
            began = time.monotonic()
            code, output = finish(process, sent)
        assert (code, "Traceback" in output) == (0, False), output
        assert "The worker has stopped" in output
        assert time.monotonic() - began < 6

    def test_what_a_killed_worker_left_is_done_by_the_next_one_and_nothing_twice(self, migrated: str) -> None:
        for kill in range(3):
            happen(migrated, 5)
            with running("api", "worker") as process:
                read_until(process, "(The worker has started)")
                time.sleep(0.02 * kill)
                process.kill()
        with running("api", "worker") as first, running("api", "worker") as second:
            for each in (first, second):
                read_until(each, "(The worker has started)")
            wait_for(lambda: placed(migrated) == 15)
            assert [finish(each, signal.SIGTERM)[0] for each in (first, second)] == [0, 0]
        figures = sql(migrated, "SELECT MIN(position), MAX(position), COUNT(DISTINCT position) FROM events")
        assert [tuple(each) for each in figures] == [(1, 15, 15)]


class TestServe:
    @pytest.mark.parametrize("setting", ["true", "false"])
    def test_the_shop_is_the_worker_too_unless_it_is_told_not_to(
        self, migrated: str, environment: pytest.MonkeyPatch, setting: str
    ) -> None:
        environment.setenv("WORKER", setting)
        with running("api") as process:
            _, address = read_until(process, r"(http://127\.0\.0\.1:\d+)/docs")
            assert httpx.post(f"{address}/users", json=NEWCOMER, timeout=30).status_code == 201
            if setting == "true":
                wait_for(lambda: placed(migrated) == 1)
            code, output = finish(process, signal.SIGTERM)
        assert (code, "Traceback" in output) == (0, False), output
        assert placed(migrated) == (setting == "true")
        assert count(migrated, "events") == 1, "the first staff user is no customer"
