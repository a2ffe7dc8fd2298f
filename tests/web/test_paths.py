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


class TestNearPath:
    """A path that does not exist is refused with the one that was probably meant."""

    @pytest.mark.parametrize(
        ("path", "meant"),
        [
            ("/products/with-categories", "GET /products"),
            ("/products/by-category-stats", "GET /products/stats/by-category"),
            ("/users/top-spenders", "GET /users/stats/top-spenders"),
            ("/users/active-count", "GET /users/stats/active-count"),
            ("/products/low-stok", "GET /products/low-stock"),
            ("/product/1", "GET /products/{id}"),
            ("/produts", "GET /products"),
            ("/api/v1/products", "GET /products"),
            ("/orders/1/detail", "GET /orders/{id}/details"),
            ("/products/sku/WH-001", "GET /products/by-sku/{sku}"),
            ("/healthz", "GET /health"),
            ("/login", "POST /auth/token"),
        ],
    )
    async def test_a_near_miss_of_a_path_is_told_the_path(self, as_staff: AsyncClient, path: str, meant: str) -> None:
        response = await as_staff.get(path)

        assert_problem(response, 404, "Not Found")
        assert response.json()["detail"] == f"Not Found. Did you mean `{meant}`?"

    async def test_the_method_counts(self, as_staff: AsyncClient) -> None:
        refused = await as_staff.post("/payments/1/refund", json={})

        assert refused.json()["detail"] == "Not Found. Did you mean `POST /payments/{id}/refunds`?"

    @pytest.mark.parametrize(
        "path", ["/nowhere", "/wp-login.php", "/.env", f"/products{'x' * 5_000}"], ids=lambda p: p[:20]
    )
    async def test_a_path_that_is_like_none_is_only_not_found(self, client: AsyncClient, path: str) -> None:
        assert (await client.get(path)).json()["detail"] == "Not Found"

    async def test_a_wrong_id_that_is_like_no_path_is_named(self, client: AsyncClient) -> None:
        response = await client.get("/products/headphones")

        assert_problem(response, 422, "Unprocessable Content")
        assert "path.id" in response.json()["detail"]
