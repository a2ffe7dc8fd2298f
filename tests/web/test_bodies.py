"""Request bodies that no route gets: those that are refused, and the body of a GET request."""

from collections.abc import AsyncIterator

import pytest
from httpx import AsyncClient
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.category import Category
from tests.support import assert_refused
from tests.web.problems import assert_problem

MEGABYTE = 1_048_576


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
