"""How many events a second get to a webhook: `python -m tests.benchmarks.webhooks [database ...]`.

Events that are committed already get their places, become deliveries and are sent to a receiver on this machine, by one
worker. Each part is timed alone.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from time import perf_counter

from sqlmodel import insert

from api.database.outbox import INSERT_EVENT, Outbox
from api.database.sessions import Database
from api.models.event import EventType
from api.settings import Settings
from api.worker.fan_out import fan_out
from api.worker.queue import Queue
from api.worker.relay import relay
from api.worker.webhooks import FOLLOWER, Deliveries
from tests.alembic_support import alembic
from tests.databases import BACKENDS, Unavailable
from tests.factories import a_webhook
from tests.sink import a_sink
from tests.support import FreshSession

EVENTS, SUBJECTS = 3_000, 1_000


async def measure(url: str) -> dict[str, float]:
    """Events a second of each part."""
    settings = Settings(_env_file=None, database_url=url, webhooks_to_private_addresses=True)
    database = Database(settings)
    queue = Queue(Deliveries(settings))
    steps: dict[str, Callable[[], Awaitable[bool]]] = {
        "placed": lambda: relay(database),
        "fanned out": lambda: fan_out(database, [FOLLOWER]),
        "delivered": lambda: queue.step(database),
    }
    async with a_sink() as sink:
        async with FreshSession(database.engine) as session:
            await a_webhook(session, url=sink.url)
        for step in steps.values():  # which makes the rows of the jobs
            while await step():
                pass
        await write_events(database)
        found = {name: await timed(step) for name, step in steps.items()}
        assert len(set(sink.ids)) == EVENTS
    await queue.finish(database)
    await database.close()
    return found


async def write_events(database: Database) -> None:
    rows = [
        INSERT_EVENT.values(
            type=EventType.ORDER_PLACED, subject=f"orders/{number % SUBJECTS}", data={"id": number, "items": ["x"] * 50}
        )
        for number in range(EVENTS)
    ]
    async with database.transaction() as session:
        await (await session.connection()).execute(insert(Outbox.table), rows)


async def timed(step: Callable[[], Awaitable[bool]]) -> float:
    began = perf_counter()
    while await step():
        pass
    return EVENTS / (perf_counter() - began)


def main(names: list[str]) -> None:
    for name, opened in BACKENDS.items():
        if names and name not in names:
            continue
        try:
            with opened() as backend, backend.new_database() as url:
                alembic(url, "upgrade", "head")
                found = asyncio.run(measure(url))
        except Unavailable as reason:
            print(f"{name}: {reason}")
        else:
            whole = 1 / sum(1 / each for each in found.values())
            parts = ", ".join(f"{each:,.0f} {what}" for what, each in found.items())
            print(f"{name}: {parts}; {whole:,.0f} events/s in all")


if __name__ == "__main__":
    main(sys.argv[1:])
