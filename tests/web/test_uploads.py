"""Files as bodies: one whose client hangs up leaves nothing behind, and nobody but staff has one read."""

import errno
import tempfile
from typing import Any, BinaryIO

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.import_export import staging
from tests.routes.imports.support import upload
from tests.routes.products.support import stored_skus
from tests.support import assert_refused

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


async def test_a_disk_that_is_full_when_the_file_comes_is_a_refusal(
    as_staff: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> BinaryIO:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)

    assert_refused(await upload(as_staff, "products", FIRST_PART), 503, "no room for the file")


@pytest.mark.parametrize("entity", ["products", "categories"])
async def test_a_disk_that_is_full_during_the_check_is_a_refusal(
    as_staff: AsyncClient, monkeypatch: pytest.MonkeyPatch, entity: str
) -> None:
    monkeypatch.setattr(staging, "TABLES", f"PRAGMA max_page_count = 40; {staging.TABLES}")
    rows = "".join(f"A-{number},Name {number},1.00\n" for number in range(2_000))
    header = "sku,name,price\n" if entity == "products" else "slug,name,description\n"

    refused = await upload(as_staff, entity, header + rows.lower())

    assert_refused(refused, 503, "no room for the file")
    assert refused.headers["Retry-After"] == "60"


async def test_the_file_of_a_caller_who_may_not_send_one_is_not_read(
    app: FastAPI, as_customer: AsyncClient, client: AsyncClient
) -> None:
    assert await send_half(app, as_customer) == (403, 0)
    assert await send_half(app, client) == (401, 0)
