"""Paths and methods that no route has, and paths with a trailing slash."""

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from tests.web.problems import assert_problem


class TestPaths:
    @pytest.mark.parametrize("path", ["/nothing", "/users/1/nothing", "/health/nothing", "/%00", "/%ff", "/../etc"])
    async def test_an_unknown_path_is_not_found(self, client: AsyncClient, path: str) -> None:
        assert_problem(await client.get(path), 404, "Not Found")

    @pytest.mark.parametrize(
        ("method", "path"),
        [("PUT", "/"), ("POST", "/health"), ("PATCH", "/posts"), ("DELETE", "/users")],
    )
    async def test_a_method_that_a_path_does_not_have_is_not_allowed(
        self, client: AsyncClient, method: str, path: str
    ) -> None:
        response = await client.request(method, path)

        assert_problem(response, 405, "Method Not Allowed")
        assert response.headers["Allow"]

    @pytest.mark.parametrize("path", ["/health", "/health/ready", "/posts", "/tags"])
    async def test_a_path_with_a_trailing_slash_gets_the_same_answer(
        self, client: AsyncClient, session: AsyncSession, path: str
    ) -> None:
        without, with_slash = await client.get(path), await client.get(f"{path}/")

        assert (without.status_code, with_slash.status_code) == (200, 200)
        assert without.content == with_slash.content

    async def test_a_write_to_a_path_with_a_trailing_slash_is_accepted(self, as_staff: AsyncClient) -> None:
        assert (await as_staff.post("/tags/", json={"name": "Vinyl"})).status_code == 201
        assert_problem(await as_staff.get("/nothing/"), 404, "Not Found")
