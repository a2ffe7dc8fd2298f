"""`kill -9` of workers, of the whole service and of the database: nothing acknowledged is lost, nothing is done twice.

Customers order, cancel, pay and transfer through the real service with two workers, and note what they were told. In
between something is killed. In the end they send what was not answered again, with its key, until they know.
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from itertools import cycle
from pathlib import Path
from random import Random
from time import monotonic

import pytest
from sqlmodel import col, select

from api.database.sessions import SCHEMA_PATIENCE
from api.database.time_limits import CANCEL_GRACE
from api.database.transactions import ROLLBACK_TIMEOUT
from api.models.transaction import Transaction
from api.web.transactions import REQUEST_DEADLINE
from tests.faults import SECONDS
from tests.faults.reckoning import reckon
from tests.faults.servers import KILLABLE, Server, Sqlite
from tests.faults.service import Service, running
from tests.faults.shop import a_look_into, open_shop, sign_in
from tests.faults.traffic import Traffic
from tests.selection import OUTCOME

pytestmark = [pytest.mark.faults, pytest.mark.alone, pytest.mark.timeout(900 + 5 * SECONDS)]

AT_ONCE = 12
BETWEEN_KILLS = (0.4, 1.2)
"""Seconds in which traffic goes on after everything answers again."""

LONGEST_ANSWER = sum(limit + CANCEL_GRACE for limit in (REQUEST_DEADLINE, ROLLBACK_TIMEOUT, SCHEMA_PATIENCE))
"""Seconds. What is killed is not silent, so that no COMMIT waits for its timeout. What is sent while there is no worker
waits for one first: the system keeps its connection until then."""


@pytest.fixture(scope="module", params=KILLABLE)
def killable(request: pytest.FixtureRequest) -> Iterator[Sqlite | Server]:
    with KILLABLE[request.param]() as database:
        yield database


@pytest.fixture
def service(killable: Sqlite | Server, tmp_path: Path) -> Iterator[Service]:
    with running(killable.url, tmp_path) as service:
        yield service


class Kills:
    """One after the other, in turn."""

    def __init__(self, service: Service, database: Sqlite | Server) -> None:
        self.counted: Counter[str] = Counter()
        self.recovered: list[float] = []
        self._service = service
        ways: dict[str, Callable[[], None]] = {"a worker": partial(service.kill_workers, 1)}
        if not isinstance(database, Sqlite):
            ways["the database"] = partial(self._the_database, database)
        ways |= {"both workers": partial(service.kill_workers, 2), "the service": self._the_service}
        self._ways = cycle(ways.items())

    def next(self) -> None:
        """Kill something, and wait until the service answers again."""
        what, kill = next(self._ways)
        kill()
        self.counted[what] += 1
        self.recovered.append(self._service.wait_until_ready())

    def _the_service(self) -> None:
        """Then the platform starts it anew, which nothing of the shop can do."""
        self._service.kill()
        self._service.start()

    def _the_database(self, database: Server) -> None:
        """Its machine starts it anew; the service finds it again by itself."""
        database.kill()
        database.start()


async def test_nothing_acknowledged_is_lost_and_nothing_is_done_twice(
    killable: Sqlite | Server, service: Service, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    kind = request.node.callspec.params["killable"]
    async with a_look_into(killable.url) as session:
        staff, *customers = await sign_in(session, 7)
        products = await open_shop(service, staff, customers)
        before = set((await session.exec(select(col(Transaction.id)))).all())
    traffic, kills = Traffic(service.url, customers, staff, products, seed=3), Kills(service, killable)

    async with AsyncExitStack() as stack:
        stack.push_async_callback(traffic.close)
        stack.callback(traffic.journal.write, tmp_path / "journal.jsonl")
        await _trade_under_fire(traffic, kills)
        await traffic.settle()

    journal = traffic.journal
    async with a_look_into(killable.url) as session:
        reckoning = await reckon(session, journal, before)
    statuses = Counter(answer.status for answer in journal.answers)
    worst = max(answer.seconds for answer in journal.answers)
    acknowledged = sum(operation.is_acknowledged for operation in journal.operations)
    request.config.stash[OUTCOME].tested[f"faults, {kind}"] = (
        f"{kills.counted.total()} kills ({', '.join(f'{n} of {what}' for what, n in kills.counted.items())}), "
        f"back after {max(kills.recovered):.1f} s at most; {len(journal.operations):,} operations, "
        f"{acknowledged:,} acknowledged, {sum(answer.replayed for answer in journal.answers):,} replayed, "
        f"{len(reckoning.lost)} lost, {len(reckoning.extra)} extra; "
        f"{statuses[503]} times 503, worst answer {worst:.1f} s, on {killable.version}"
    )
    assert reckoning.is_even, reckoning
    books = service.run(sys.executable, "-m", "api", "verify")
    assert books.returncode == 0, books.stdout + books.stderr
    assert statuses.keys() <= {200, 201, 409, 503}, statuses
    assert all(answer.retry_after for answer in journal.answers if answer.status == 503)
    assert "Exception in ASGI application" not in service.log.read_text()
    assert worst < LONGEST_ANSWER + max(kills.recovered)
    assert acknowledged > 10 * kills.counted.total(), "there was hardly anything to lose"
    assert set(kills.counted) >= {"a worker", "the service"} | ({"the database"} if kind != "sqlite" else set())


async def _trade_under_fire(traffic: Traffic, kills: Kills) -> None:
    over, pause, until = asyncio.Event(), Random(4), monotonic() + SECONDS
    trading = asyncio.create_task(traffic.run(over, AT_ONCE))
    try:
        # Each way of killing has its turn, however long a recovery takes.
        while monotonic() < until or kills.counted.total() < 4:
            await asyncio.sleep(pause.uniform(*BETWEEN_KILLS))
            await asyncio.to_thread(kills.next)
    finally:
        over.set()
        await trading
