"""Headers for browsers, allowed hosts and origins, addresses from proxies, and the limit of a body."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from fastapi import Request
from httpx import ASGITransport, AsyncClient

from api.auth.throttling import client_address
from api.main import create_app
from api.settings import Environment, Settings
from api.web.framework_internals import STARLETTE_REFUSALS
from api.web.hosts import REFUSAL
from api.web.problems import PROBLEM_JSON


@asynccontextmanager
async def shop_with(folder: Path, address: str = "203.0.113.7", **settings: Any) -> AsyncIterator[AsyncClient]:
    """A client of a shop with these settings. Its requests come from this address."""
    app = create_app(Settings(_env_file=None, database_url=f"sqlite:///{folder / 'shop.db'}", **settings))

    @app.get("/caller")
    async def read_caller(request: Request) -> str:
        return f"{request.url.scheme} {client_address(request)}"

    transport = ASGITransport(app, client=(address, 50_000))
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=transport, base_url="http://shop.example.com") as client,
    ):
        yield client


HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class TestSecurityHeaders:
    @pytest.mark.parametrize("path", ["/", "/health", "/users/me", "/nowhere", "/openapi.json"])
    async def test_every_answer_and_every_refusal_has_the_security_headers(self, tmp_path: Path, path: str) -> None:
        async with shop_with(tmp_path) as client:
            headers = (await client.get(path)).headers
        assert {name: headers.get(name) for name in HEADERS} == HEADERS
        assert "Strict-Transport-Security" not in headers

    async def test_the_documentation_keeps_the_headers_that_it_sets_itself(self, tmp_path: Path) -> None:
        async with shop_with(tmp_path) as client:
            headers = (await client.get("/docs")).headers
        assert "script-src 'self'" in headers["Content-Security-Policy"]
        assert headers.get_list("Content-Security-Policy") == [headers["Content-Security-Policy"]]
        assert headers["X-Frame-Options"] == "DENY"

    async def test_production_tells_browsers_to_use_only_https(self, tmp_path: Path) -> None:
        production: dict[str, Any] = {
            "environment": Environment.PRODUCTION,
            "allowed_hosts": ["shop.example.com"],
            "forwarded_allow_ips": ["127.0.0.1"],
        }
        async with shop_with(tmp_path, **production) as client:
            assert "max-age=" in (await client.get("/health")).headers["Strict-Transport-Security"]


class TestHost:
    @pytest.mark.parametrize(
        ("host", "status"),
        [
            ("shop.example.com", 200),
            ("SHOP.example.com:8000", 200),
            ("shop.example.com.", 200),
            ("Shop.Example.com.:443", 200),
            ("a.example.org", 200),
            ("A.B.example.org.", 200),
            ("[2001:DB8::1]:8000", 200),
            ("10.0.1.23:8000", 400),
            ("shop.example.com..", 400),
            ("shop.example.com:http", 400),
            ("[2001:db8::2]", 400),
            ("example.org", 400),
            ("evil.example", 400),
            ("shop.example.com.evil.example", 400),
            ("shop.example.com@evil.example", 400),
            ("", 400),
        ],
        ids=[
            "the host",
            "upper case with a port",
            "a dot at the end",
            "a dot before a port",
            "a host of the wildcard",
            "a host of the wildcard in upper case with a dot",
            "an IPv6 address",
            "an address",
            "two dots",
            "a port that is no number",
            "another IPv6 address",
            "the domain of the wildcard itself",
            "another host",
            "an allowed prefix",
            "an allowed user name",
            "none",
        ],
    )
    async def test_only_an_allowed_host_is_served(self, tmp_path: Path, host: str, status: int) -> None:
        allowed = ["shop.EXAMPLE.com.", "*.example.org", "[2001:db8::1]"]
        async with shop_with(tmp_path, allowed_hosts=allowed) as client:
            response = await client.get("/", headers={"Host": host})
        assert response.status_code == status, response.text
        if status == 400:
            assert response.headers["Content-Type"] == PROBLEM_JSON
            assert response.json()["detail"] == REFUSAL
            assert response.headers["X-Content-Type-Options"] == "nosniff"

    async def test_two_host_headers_are_refused(self, tmp_path: Path) -> None:
        async with shop_with(tmp_path, allowed_hosts=["shop.example.com"]) as client:
            hosts = [("Host", "shop.example.com"), ("Host", "evil.example")]
            assert (await client.get("/", headers=hosts)).status_code == 400

    @pytest.mark.parametrize("host", ["10.0.1.23:8000", "localhost", ""])
    async def test_a_probe_by_address_is_answered(self, tmp_path: Path, host: str) -> None:
        async with shop_with(tmp_path, allowed_hosts=["shop.example.com"]) as client:
            statuses = {
                path: (await client.request(method, path, headers={"Host": host})).status_code
                for method, path in (
                    ("GET", "/health"),
                    ("HEAD", "/health"),
                    ("GET", "/health/"),
                    ("GET", "/health/db"),
                )
            }
            ready = await client.get("/health/ready", headers={"Host": host})
        assert statuses == {"/health": 200, "/health/": 200, "/health/db": 400}
        assert ready.status_code != 400

    async def test_no_request_is_redirected_to_a_host_that_the_client_chose(self, tmp_path: Path) -> None:
        async with shop_with(tmp_path, allowed_hosts=["www.example.com"]) as client:
            answers = [
                await client.get("/", headers={"Host": "example.com"}),
                await client.get("/health/", headers={"Host": "www.example.com"}),
                await client.get("http://www.example.com//evil.example/", headers={"Host": "www.example.com"}),
            ]
        assert [answer.status_code for answer in answers] == [400, 200, 404]
        locations = [answer.headers["Location"] for answer in answers if "Location" in answer.headers]
        assert locations == []


class TestOrigin:
    PREFLIGHT = {"Origin": "https://www.example.com", "Access-Control-Request-Method": "POST"}

    async def test_no_other_website_may_read_answers_without_a_setting(self, tmp_path: Path) -> None:
        async with shop_with(tmp_path) as client:
            preflight = await client.options("/orders", headers=self.PREFLIGHT)
            read = await client.get("/health", headers=self.PREFLIGHT)
        assert "Access-Control-Allow-Origin" not in preflight.headers
        assert "Access-Control-Allow-Origin" not in read.headers

    async def test_only_an_allowed_website_may_read_answers(self, tmp_path: Path) -> None:
        other = {**self.PREFLIGHT, "Origin": "https://evil.example"}
        key = {
            **self.PREFLIGHT,
            "Access-Control-Request-Headers": "authorization, idempotency-key, content-type, if-match",
        }
        async with shop_with(tmp_path, cors_origins=["https://www.example.com"]) as client:
            preflight = await client.options("/orders", headers=key)
            read = await client.get("/users/me", headers=self.PREFLIGHT)
            refused = await client.options("/orders", headers=other)
            unread = await client.get("/users/me", headers=other)
        assert preflight.status_code == 200
        assert preflight.headers["Access-Control-Allow-Origin"] == "https://www.example.com"
        assert "Access-Control-Allow-Credentials" not in preflight.headers
        assert read.headers["Access-Control-Allow-Origin"] == "https://www.example.com"
        assert {"ETag", "Idempotent-Replayed"} <= set(read.headers["Access-Control-Expose-Headers"].split(", "))
        assert "Origin" in read.headers["Vary"]
        assert refused.status_code == 400
        assert refused.headers["Content-Type"] == PROBLEM_JSON
        assert refused.json()["detail"] == "Disallowed CORS origin."
        assert "Origin" in refused.headers["Vary"]
        assert "Access-Control-Allow-Origin" not in unread.headers

    @pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"])
    async def test_the_headers_of_tracing_pass_a_preflight(self, tmp_path: Path, method: str) -> None:
        preflight = {
            **self.PREFLIGHT,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "traceparent, tracestate, baggage, sentry-trace, x-requested-with",
        }
        async with shop_with(tmp_path, cors_origins=["https://www.example.com"]) as client:
            response = await client.options("/orders", headers=preflight)
        assert response.status_code == 200, response.text

    @pytest.mark.parametrize(
        ("allowed", "statuses"),
        [(["x-shop"], [200, 200, 400]), (["*"], [200, 200, 200]), ([], [400, 200, 400])],
        ids=["one header", "any header", "none"],
    )
    async def test_which_headers_pass_is_a_setting(
        self, tmp_path: Path, allowed: list[str], statuses: list[int]
    ) -> None:
        async with shop_with(tmp_path, cors_origins=["https://www.example.com"], cors_headers=allowed) as client:
            answers = [
                await client.options("/orders", headers={**self.PREFLIGHT, "Access-Control-Request-Headers": name})
                for name in ("X-Shop", "Idempotency-Key", "traceparent")
            ]
        assert [each.status_code for each in answers] == statuses


class TestForwardedAddress:
    FORWARDED = {"X-Forwarded-For": "198.51.100.66, 192.0.2.1", "X-Forwarded-Proto": "https"}

    @pytest.mark.parametrize("trusted", [["127.0.0.1"], ["10.0.0.0/8"]], ids=["this computer", "a network"])
    async def test_a_forwarded_address_from_an_untrusted_client_is_ignored(
        self, tmp_path: Path, trusted: list[str]
    ) -> None:
        async with shop_with(tmp_path, forwarded_allow_ips=trusted) as client:
            assert (await client.get("/caller", headers=self.FORWARDED)).json() == "http 203.0.113.7"

    async def test_the_address_that_a_trusted_proxy_saw_is_used(self, tmp_path: Path) -> None:
        """The client wrote the first address itself. The last address is the one that the proxy saw."""
        async with shop_with(tmp_path, "10.1.2.3", forwarded_allow_ips=["10.0.0.0/8"]) as client:
            assert (await client.get("/caller", headers=self.FORWARDED)).json() == "https 192.0.2.1"


class TestUnixSocket:
    """A server that listens on a Unix socket knows no address of its client."""

    async def test_the_proxy_is_on_this_computer_and_its_address_of_the_client_is_used(self, tmp_path: Path) -> None:
        app = create_app(Settings(_env_file=None, database_url=f"sqlite:///{tmp_path / 'shop.db'}"))
        seen: list[Any] = []

        @app.get("/caller")
        async def read_caller(request: Request) -> None:
            seen.append((request.url.scheme, client_address(request)))

        class FromSocket(ASGITransport):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                self.client = cast(Any, None)
                return await super().handle_async_request(request)

        async with AsyncClient(transport=FromSocket(app), base_url="http://shop.example.com") as client:
            await client.get("/caller", headers={"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "https"})
            await client.get("/caller")
        assert seen == [("https", "192.0.2.1"), ("http", "127.0.0.1")]


class TestStarletteRefusal:
    """Starlette's middleware refuses in plain text, and promises none of its wording."""

    async def test_every_known_refusal_is_provoked_and_answered_as_a_problem(self, tmp_path: Path) -> None:
        async with shop_with(tmp_path, max_body_size=1_000) as client:
            refusals = {
                "Content Too Large": await client.post("/users", json={"bio": "x" * 1_000}),
            }
        assert refusals.keys() == STARLETTE_REFUSALS.keys(), "provoke every entry of STARLETTE_REFUSALS here"
        for refusal, response in refusals.items():
            assert response.headers["Content-Type"] == PROBLEM_JSON, f"{refusal}: {response.text}"
            assert response.json()["detail"] == STARLETTE_REFUSALS[refusal]
        assert [response.status_code for response in refusals.values()] == [413]
