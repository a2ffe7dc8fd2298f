"""`kill -9` of workers that send events: a receiver gets each, under one id, and those of a subject in order."""

import asyncio
import json
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from time import monotonic

import pytest
from sqlalchemy.exc import DBAPIError
from sqlmodel import col, func, select, update

from api.database.sessions import Database
from api.models.base import utcnow
from api.models.event import Event
from api.models.job import Job
from api.models.outgoing import OutgoingStatus
from api.models.webhook_delivery import FOLLOWER, WebhookDelivery
from api.settings import Settings
from tests.databases import Backend
from tests.factories import a_job, a_webhook, an_event
from tests.faults import SECONDS
from tests.faults.service import environment_of
from tests.selection import OUTCOME
from tests.sink import Received, Sink, a_sink, answer
from tests.support import FreshSession

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900 + 5 * SECONDS)]

WORKERS, SUBJECTS, AT_A_TIME = 3, 8, 40
PATIENCE = 60
"""Seconds in which something is sent, also on a machine with other things to do."""


class Workers:
    """Processes of `python -m api worker`; the one that has run longest is killed next."""

    def __init__(self, url: str, folder: Path) -> None:
        self._environment = environment_of(url) | {"WEBHOOKS_TO_PRIVATE_ADDRESSES": "true"}
        self._folder = folder
        self._running: list[subprocess.Popen[bytes]] = []
        self.kills = 0

    def start(self) -> None:
        with (self._folder / "worker.log").open("ab") as log:
            self._running.append(
                subprocess.Popen(
                    [sys.executable, "-m", "api", "worker"],
                    cwd=self._folder,
                    env=self._environment,
                    stdout=log,
                    stderr=log,
                )
            )

    def kill(self) -> None:
        oldest = self._running.pop(0)
        oldest.kill()
        oldest.wait()
        self.kills += 1

    def stop(self) -> None:
        for each in self._running:
            each.terminate()
        for each in self._running:
            assert each.wait(timeout=PATIENCE) in (0, -signal.SIGTERM), "it may just have been starting"


async def test_kills_lose_no_event_and_repeat_none_under_another_id(
    migrated: str, tmp_path: Path, request: pytest.FixtureRequest, backend: Backend
) -> None:
    database = Database(Settings(_env_file=None, database_url=migrated))
    workers = Workers(migrated, tmp_path)
    async with a_sink() as sink, FreshSession(database.engine) as session:
        sink.reply = slow
        await a_job(session, name=FOLLOWER)
        await a_webhook(session, url=sink.url)
        for _ in range(WORKERS):
            workers.start()
        await an_event(session, subject="orders/0")
        await until(partial(has_more, sink, 0))
        numbers, end = count(), monotonic() + SECONDS  # from when the first one has started
        while monotonic() < end:
            for _ in range(AT_A_TIME):
                await an_event(session, subject=f"orders/{next(numbers) % SUBJECTS}")
            await until(partial(has_more, sink, len(sink.received)))
            workers.kill()
            workers.start()
            await freed(database)
        events = (await session.exec(select(Event.id, Event.subject).order_by(col(Event.id)))).all()
        sent, ends = len(sink.received), monotonic() + PATIENCE
        while await pending(database) or len({each.id for each in sink.taken}) < len(events):
            if len(sink.received) > sent:  # what waits grows with the time of the kills
                sent, ends = len(sink.received), monotonic() + PATIENCE
            left = len(events) - len({each.id for each in sink.taken})
            assert monotonic() < ends, f"{left:,} are left\n{(tmp_path / 'worker.log').read_text()[-3_000:]}"
            await freed(database)
            await asyncio.sleep(0.2)
        workers.stop()
    await database.close()

    check(sink, {f"evt_{event_id}": subject for event_id, subject in events})
    request.config.stash[OUTCOME].tested[f"killed workers, {backend.name}"] = (
        f"{workers.kills} kills, {len(events):,} events, {len(sink.received) - len(events)} sent again"
    )


async def slow(received: Received) -> bytes:
    """So that many are being sent when a worker is killed."""
    await asyncio.sleep(0.01)
    return answer(204)


def has_more(sink: Sink, than: int) -> bool:
    return len(sink.received) > than


async def until(condition: Callable[[], bool]) -> None:
    ends = monotonic() + PATIENCE
    while not condition():
        assert monotonic() < ends, "no worker sends anything"
        await asyncio.sleep(0.01)


async def freed(database: Database) -> None:
    """Let the time pass until the claims of workers that were killed are over; those of others are over early too.

    Where that meets workers that lock the same rows in another order, the next time does.
    """
    claimed = col(WebhookDelivery.claimed_until) > utcnow()
    with suppress(DBAPIError):
        async with database.transaction() as session:
            await session.exec(update(WebhookDelivery).where(claimed).values(claimed_until=utcnow()))


async def pending(database: Database) -> bool:
    async with database.reads() as session:
        rows = select(WebhookDelivery.id).where(WebhookDelivery.status == OutgoingStatus.PENDING)
        waiting = (await session.exec(rows.limit(1))).first()
        told = (await session.exec(select(Job.position).where(Job.name == FOLLOWER))).one()
        return waiting is not None or told < (await session.exec(select(func.count(col(Event.id))))).one()


def check(sink: Sink, events: dict[str, str]) -> None:
    bodies: dict[str, set[bytes]] = defaultdict(set)
    arrived: dict[str, list[str]] = defaultdict(list)
    for each in sink.received:
        bodies[each.id].add(each.body)
        subject = json.loads(each.body)["subject"]
        if each.id not in arrived[subject]:
            arrived[subject].append(each.id)
    assert bodies.keys() == events.keys(), "an event was lost, or told under another id"
    assert all(len(each) == 1 for each in bodies.values()), "one id stands for two events"
    for subject, ids in arrived.items():
        assert ids == [each for each, its in events.items() if its == subject], f"{subject} is out of order"
