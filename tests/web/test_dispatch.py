"""Methods that a path does not have are refused, and the refusal names the methods that it has."""

import asyncio
import re

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from starlette.types import Message

from api.web.framework_internals import endpoints
from tests.support import assert_refused


async def whole_answer(
    app: FastAPI, client: AsyncClient, method: str, path: str
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """The status, the headers and all of the content that the app sends."""
    request, sent = client.build_request(method, path), list[Message]()
    received: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]
    is_enough = asyncio.Event()

    async def receive() -> Message:
        """A stream waits here for the client to hang up, as this one does after a first part."""
        if not received:
            await is_enough.wait()
            return {"type": "http.disconnect"}
        return received.pop()

    async def send(message: Message) -> None:
        sent.append(message)
        if message.get("body", b"").startswith(b"retry:"):
            is_enough.set()

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [*((name.lower(), value) for name, value in request.headers.raw), (b"x-request-id", b"same")],
        "client": ("127.0.0.1", 1),
        "scheme": "http",
        "server": ("test.example", 80),
    }
    await app(scope, receive, send)
    return sent[0]["status"], sorted(sent[0]["headers"]), b"".join(each.get("body", b"") for each in sent[1:])


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
            ("DELETE", "/users", "GET, HEAD, OPTIONS, POST"),
            ("POST", "/products/1", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
            ("PUT", "/users/me", "GET, HEAD, OPTIONS, PATCH"),
            ("PUT", "/users/me/", "GET, HEAD, OPTIONS, PATCH"),
            ("GET", "/products/bulk", "OPTIONS, POST"),
            ("PATCH", "/orders/user/1", "GET, HEAD, OPTIONS"),
            ("POST", "/docs", "GET, HEAD, OPTIONS"),
        ],
    )
    async def test_a_refused_method_gets_the_list_of_all_methods_of_the_path(
        self, client: AsyncClient, method: str, path: str, allowed: str
    ) -> None:
        response = await client.request(method, path)

        assert_refused(response, 405)
        assert response.headers["Allow"] == allowed

    async def test_a_refused_method_is_told_which_path_below_has_it(self, client: AsyncClient) -> None:
        assert_refused(await client.patch("/orders/1", json={}), 405, "There is `PATCH /orders/{id}/status`.")
        assert_refused(await client.post("/products/1"), 405, "There is `POST /products/{id}/stock`.")


class TestOptions:
    @pytest.mark.parametrize(
        ("path", "allowed"),
        [
            ("/", "GET, HEAD, OPTIONS"),
            ("/users", "GET, HEAD, OPTIONS, POST"),
            ("/users/me", "GET, HEAD, OPTIONS, PATCH"),
            ("/products/1", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
            ("/orders/1/cancel", "OPTIONS, POST"),
            ("/docs", "GET, HEAD, OPTIONS"),
            ("/openapi.json", "GET, HEAD, OPTIONS"),
        ],
    )
    async def test_options_says_which_methods_a_path_has(self, app: FastAPI, path: str, allowed: str) -> None:
        async with AsyncClient(transport=ASGITransport(app), base_url="http://test.example") as client:
            response = await client.options(path)

        assert (response.status_code, response.headers["Allow"], response.content) == (204, allowed, b"")

    async def test_options_of_an_unknown_path_is_not_found(self, client: AsyncClient) -> None:
        assert_refused(await client.options("/nowhere"), 404)


class TestHead:
    async def test_every_get_answers_head_with_the_same_headers_and_no_content(
        self, app: FastAPI, as_staff: AsyncClient
    ) -> None:
        """Past httpx, which would drop the content by itself."""
        paths = [path for path, item in app.openapi()["paths"].items() if "get" in item]
        assert len(paths) > 20
        for path in [*paths, "/docs", "/openapi.json", "/nowhere", "/users/me/"]:
            target = re.sub(r"\{\w+\}", "1", path)
            get, head = [await whole_answer(app, as_staff, method, target) for method in ("GET", "HEAD")]
            assert head == (*get[:2], b""), path

    async def test_head_keeps_the_query_and_the_limits_of_get(self, client: AsyncClient) -> None:
        assert (await client.head("/products?pge=1")).status_code == 422
        assert (await client.head("/orders")).status_code == 401
        refused = await client.head("/products/bulk")
        assert (refused.status_code, refused.headers["Allow"]) == (405, "OPTIONS, POST")
