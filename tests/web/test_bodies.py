"""Request bodies that no route gets: those that are refused, and the body of a GET request."""

from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.types import Message

from api.models.category import Category
from api.models.idempotency_key import IdempotencyKey
from tests.support import assert_refused
from tests.web.problems import assert_problem

MEGABYTE = 1_048_576
SCOPE = {
    "type": "http",
    "http_version": "1.1",
    "method": "POST",
    "scheme": "http",
    "path": "/orders",
    "raw_path": b"/orders",
    "root_path": "",
    "query_string": b"",
    "client": ("127.0.0.1", 50_000),
    "server": ("test.example", 80),
}
"""A request as a server hands it to the app."""


async def chunks(count: int) -> AsyncIterator[bytes]:
    """A body of undeclared length, in chunks of 64 KiB."""
    yield b'{"name": "'
    for _ in range(count):
        yield b"x" * 65_536
    yield b'"}'


class TestBodies:
    @pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "application/x-www-form-urlencoded", ""])
    async def test_a_body_of_another_content_type_is_refused(self, as_staff: AsyncClient, content_type: str) -> None:
        headers = {"Content-Type": content_type}

        response = await as_staff.post("/tags", content=b'{"name": "Vinyl"}', headers=headers)

        assert_problem(response, 422, "Unprocessable Content")

    @pytest.mark.parametrize("body", [b"{", b'{"name": }', b"{'name': 'Vinyl'}", b'{"name": "Vinyl"} x', b"\x00"])
    async def test_a_body_that_is_not_json_is_refused(self, as_staff: AsyncClient, body: bytes) -> None:
        response = await as_staff.post("/tags", content=body, headers={"Content-Type": "application/json"})

        assert_problem(response, 422, "Unprocessable Content")
        assert [error["field"] for error in response.json()["errors"]] == ["body"]

    async def test_a_body_that_is_too_large_is_refused(self, as_staff: AsyncClient) -> None:
        response = await as_staff.post("/tags", json={"name": "x" * (MEGABYTE + 1)})

        assert_problem(response, 413, "Content Too Large")

    async def test_a_body_of_undeclared_length_that_is_too_large_is_refused(self, as_staff: AsyncClient) -> None:
        headers = {"Content-Type": "application/json"}

        small = await as_staff.post("/tags", content=chunks(1), headers=headers)
        large = await as_staff.post("/tags", content=chunks(17), headers=headers)

        assert_refused(small, 422, "body.name")
        assert_problem(large, 413, "Content Too Large")

    async def test_a_body_of_a_get_request_is_ignored(self, client: AsyncClient, session: AsyncSession) -> None:
        response = await client.request("GET", "/categories", json={"name": "Vinyl"})

        assert response.json()["total"] == len((await session.exec(select(Category.id))).all())

    @pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "first"}], ids=["without a key", "with a key"])
    async def test_a_client_that_hangs_up_in_its_body_leaves_nothing_behind(
        self, app: FastAPI, as_customer: AsyncClient, session: AsyncSession, headers: dict[str, str]
    ) -> None:
        statuses: list[int] = []
        messages = iter([{"type": "http.request", "body": b'{"items": [', "more_body": True}])

        async def receive() -> Message:
            return next(messages, {"type": "http.disconnect"})

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        request = as_customer.build_request("POST", "/orders", headers=headers, json={})
        lower_case = [(name.lower(), value) for name, value in request.headers.raw]
        await app({**SCOPE, "headers": lower_case}, receive, send)

        assert statuses == [400]
        assert (await session.exec(select(IdempotencyKey))).all() == []
