"""A client that hangs up in the middle leaves a whole order or none, and finds out which by sending it again."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import col, func, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.idempotency_key import IdempotencyKey
from api.models.order import Order
from api.models.product import Product
from tests.faults.service import ANSWERS_WITHIN, Service, serving
from tests.faults.shop import Customer, a_look_into, another_writer, open_shop, sign_in

pytestmark = pytest.mark.faults

TIMES = 20


def an_order(customer: Customer, product: int, key: str) -> bytes:
    """A request as it goes over the wire."""
    body = body_of(product)
    headers = {
        **customer.headers,
        "Host": "127.0.0.1",
        "Content-Type": "application/json",
        "Content-Length": len(body),
        "Idempotency-Key": key,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /orders HTTP/1.1\r\n{lines}\r\n{body}".encode()


def body_of(product: int) -> str:
    return json.dumps({"items": [{"product_id": product, "quantity": 2}]})


async def send_and_hang_up(service: Service, request: bytes, after: float = 0) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", service.port)
    writer.write(request)
    await writer.drain()
    await asyncio.sleep(after)
    writer.transport.abort()


async def hang_up_in_flight(
    service: Service, customer: Customer, product: int, key: str, *, missing: int = 0, after: float = 0
) -> None:
    """Send a body to an app that waits for it, but not its last bytes, and hang up so many seconds later."""
    body = body_of(product).encode()
    headers = {**customer.headers, "Idempotency-Key": key}
    _, writer = await service.begin("POST /orders", headers, len(body) + missing)
    writer.write(body)
    await writer.drain()
    await asyncio.sleep(after)
    writer.transport.abort()


async def until_refused(service: Service, how_many: int) -> None:
    """Wait until so many orders were refused because their bodies had no end."""
    async with asyncio.timeout(ANSWERS_WITHIN):
        while service.log.read_text().count("POST /orders 400 ") < how_many:  # noqa: ASYNC110 - a log tells nobody
            await asyncio.sleep(0.1)


async def until_done(session: AsyncSession, key: str) -> None:
    """Wait until an order is placed, however often its transaction has to be run again, and nobody sends it again."""
    done = select(IdempotencyKey.status_code).where(IdempotencyKey.key == key, IdempotencyKey.status_code == 201)
    async with asyncio.timeout(ANSWERS_WITHIN):
        while (await session.exec(done)).first() is None:  # noqa: ASYNC110 - a database tells nobody
            await asyncio.sleep(0.05)


async def send(client: httpx.AsyncClient, product: int, key: str) -> httpx.Response:
    """The same request, by somebody who waits for the answer."""
    headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
    return await client.post("/orders", content=body_of(product), headers=headers)


async def test_an_order_is_not_placed_twice_when_the_client_hangs_up(migrated: str, tmp_path: Path) -> None:
    with serving(migrated, tmp_path) as service:
        async with a_look_into(migrated) as session:
            staff, customer = await sign_in(session, 2)
            product, *_ = await open_shop(service, staff, [customer])

            async def number_of(model: Any) -> int:
                return int((await session.exec(select(func.count()).select_from(model))).one())

            before = await number_of(IdempotencyKey)
            for number in range(TIMES):  # within the body
                await hang_up_in_flight(service, customer, product, f"half-{number}", missing=1_000)
            await until_refused(service, TIMES)
            assert await number_of(Order) == 0
            assert await number_of(IdempotencyKey) == before

            for number in range(TIMES):  # at any moment from there on
                await send_and_hang_up(service, an_order(customer, product, f"whole-{number}"), after=number / 1_000)
            async with another_writer(migrated) as holding:  # while it waits for a row
                await holding.exec(update(Product).where(col(Product.id) == product).values(description="Held"))
                await hang_up_in_flight(service, customer, product, "waiting", after=1)
                await asyncio.sleep(0.3)
            await until_done(session, "waiting")

            keys = [*(f"{kind}-{number}" for kind in ("half", "whole") for number in range(TIMES)), "waiting"]
            async with httpx.AsyncClient(base_url=service.url, headers=customer.headers, timeout=20) as client:
                answers = [await send(client, product, key) for key in keys]

            assert {answer.status_code for answer in answers} == {201}
            replayed = [answer for answer in answers if "Idempotent-Replayed" in answer.headers]
            assert answers[-1] in replayed, "what waited was done, though nobody listened any more"
            assert await number_of(Order) == len({answer.json()["id"] for answer in answers}) == len(keys)
            stock = (await session.exec(select(Product.stock_quantity).where(Product.id == product))).one()
            assert stock == 300 - 2 * len(keys)
        assert service.run(sys.executable, "-m", "api", "verify").returncode == 0
        assert "Exception in ASGI application" not in service.log.read_text()
