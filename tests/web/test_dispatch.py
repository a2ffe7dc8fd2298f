"""Methods that a path does not have are refused, and the refusal names the methods that it has."""

import pytest
from fastapi import FastAPI
from httpx import AsyncClient

from api.web.framework_internals import endpoints
from tests.support import assert_refused


class TestEndpoints:
    """FastAPI keeps included routers nested, and does not promise a way to list their routes."""

    def test_the_routes_of_included_routers_are_listed_with_their_full_paths(self, app: FastAPI) -> None:
        listed = {(each.path, method) for each in endpoints(app) for method in each.methods}
        documented = {
            (path, method.upper()) for path, operations in app.openapi()["paths"].items() for method in operations
        }
        assert documented <= listed, f"{sorted(documented - listed)} are not listed"

    def test_a_path_matches_the_templates_that_it_fits(self, app: FastAPI) -> None:
        fitting = {each.path for each in endpoints(app, "/users/me") if each.matches}
        assert fitting == {"/users/me", "/users/{id}"}


class TestRefusedMethod:
    async def test_a_method_that_the_path_does_not_have_is_refused(self, client: AsyncClient) -> None:
        response = await client.put("/health")

        assert_refused(response, 405)
        assert "GET" in response.headers["Allow"]

    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("DELETE", "/users", "GET, POST"),
            ("OPTIONS", "/products/1", "DELETE, GET, PATCH, PUT"),
            ("PUT", "/users/me", "GET, PATCH"),
            ("PUT", "/users/me/", "GET, PATCH"),
            ("GET", "/products/bulk", "POST"),
            ("PATCH", "/orders/user/1", "GET"),
            ("POST", "/docs", "GET, HEAD"),
        ],
    )
    async def test_a_refused_method_gets_the_list_of_all_methods_of_the_path(
        self, client: AsyncClient, method: str, path: str, allowed: str
    ) -> None:
        response = await client.request(method, path)

        assert_refused(response, 405)
        assert response.headers["Allow"] == allowed
