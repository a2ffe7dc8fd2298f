"""Files as bodies: one whose client hangs up leaves nothing behind, and nobody but staff has one read."""

from typing import Any

from fastapi import FastAPI
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from tests.routes.products.support import stored_skus

FIRST_PART = b"sku,name,price\nA-1,One,1.00\n"


async def send_half(app: FastAPI, client: AsyncClient) -> tuple[int, int]:
    """Send the first part of a file, and hang up; return the status, and how many parts were read."""
    headers = [(b"host", b"test.example"), (b"content-type", b"text/csv")]
    if "Authorization" in client.headers:
        headers.append((b"authorization", client.headers["Authorization"].encode()))
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/imports/products",
        "raw_path": b"/imports/products",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("test.example", 80),
        "scheme": "http",
        "http_version": "1.1",
        "root_path": "",
    }
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": FIRST_PART, "more_body": True},
        {"type": "http.disconnect"},
    ]
    statuses: list[int] = []
    read = 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 1
        return messages[min(read, len(messages)) - 1]

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(scope, receive, send)
    return statuses[0], read


async def test_a_client_that_hangs_up_half_way_leaves_nothing_behind(
    app: FastAPI, as_staff: AsyncClient, session: AsyncSession
) -> None:
    status, _ = await send_half(app, as_staff)

    assert status == 400
    assert await stored_skus(session) == []


async def test_the_file_of_a_caller_who_may_not_send_one_is_not_read(
    app: FastAPI, as_customer: AsyncClient, client: AsyncClient
) -> None:
    assert await send_half(app, as_customer) == (403, 0)
    assert await send_half(app, client) == (401, 0)
