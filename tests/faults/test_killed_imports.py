"""`kill -9` in the middle of an import: none of its rows is there, or all are, and its key tells the client which."""

import asyncio
import sys
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import httpx
import pytest
from sqlmodel import col, func, select

from api.models.product import Product
from tests.faults import SECONDS
from tests.faults.servers import KILLABLE, Server, Sqlite
from tests.faults.service import Service, running
from tests.faults.shop import a_look_into, sign_in

pytestmark = pytest.mark.faults

ROWS = 1_000
"""Five times what is written at once: most moments are in the middle."""
MOMENTS = (0.3, 0.6, 0.8, 0.9) if SECONDS > 10 else (0.4, 0.8)
"""When it is killed, as parts of the time that a whole import takes: while the rows are checked, and written."""

TRIES = 10
"""How often each moment is tried, until an import is killed before its answer."""


@pytest.fixture(params=KILLABLE)
def killable(request: pytest.FixtureRequest) -> Iterator[Sqlite | Server]:
    with KILLABLE[request.param]() as database:
        yield database


def a_file(number: int) -> bytes:
    rows = (f"Part {row} of {number},P-{number}-{row},9.99,5" for row in range(ROWS))
    return "\n".join(("name,sku,price,stock_quantity", *rows)).encode()


async def test_an_import_that_is_killed_is_done_once_or_not_at_all(killable: Sqlite | Server, tmp_path: Path) -> None:
    with running(killable.url, tmp_path) as service:
        async with a_look_into(killable.url) as session:
            (staff,) = await sign_in(session, 1)
        first = await send(service, staff.headers, 0)
        assert first.json()["created"] == ROWS
        whole, numbers = first.elapsed.total_seconds(), count(1)

        for moment in MOMENTS:
            for number in islice(numbers, TRIES):
                answer = await kill_during_an_import(service, staff.headers, number, after=whole * moment)
                there = await products_of(killable.url, number)
                answered = answer is not None and answer.is_success
                assert there in ((ROWS,) if answered else (0, ROWS)), f"half of an import: {there} of {ROWS} rows"
                service.start()
                service.wait_until_ready()
                again = await send(service, staff.headers, number)
                assert (again.status_code, again.json()["created"]) == (200, ROWS), again.text
                assert ("Idempotent-Replayed" in again.headers) == (there == ROWS)
                assert await products_of(killable.url, number) == ROWS
                if answer is None:
                    break
                whole = min(whole, answer.elapsed.total_seconds())  # the first import was slowed down by something
            else:
                pytest.fail(f"{TRIES} imports were answered before they were killed")

        books = service.run(sys.executable, "-m", "api", "verify")
        assert books.returncode == 0, books.stdout


async def kill_during_an_import(
    service: Service, headers: dict[str, str], number: int, *, after: float
) -> httpx.Response | None:
    """Kill the service so many seconds after an import was sent; return the answer, where it came before that."""
    sending = asyncio.create_task(send(service, headers, number))
    await asyncio.sleep(after)
    service.kill()
    try:
        return await sending
    except httpx.TransportError:
        return None


async def send(service: Service, headers: dict[str, str], number: int) -> httpx.Response:
    key = {"Idempotency-Key": f"import-{number}", "Content-Type": "text/csv"}
    async with httpx.AsyncClient(base_url=service.url, headers={**headers, **key}, timeout=60) as client:
        return await client.post("/imports/products", content=a_file(number))


async def products_of(url: str, number: int) -> int:
    async with a_look_into(url) as session:
        rows = select(func.count()).where(col(Product.sku).startswith(f"P-{number}-"))
        return (await session.exec(rows)).one()
