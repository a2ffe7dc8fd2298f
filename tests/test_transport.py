"""What browsers and proxies are told, and what is believed of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import Request
from httpx import ASGITransport, AsyncClient

from api.auth.throttling import client_address
from api.main import create_app
from api.settings import Environment, Settings
from api.web.problems import PROBLEM_JSON


@asynccontextmanager
async def a_shop(folder: Path, address: str = "203.0.113.7", **settings: Any) -> AsyncIterator[AsyncClient]:
    app = create_app(Settings(_env_file=None, database_url=f"sqlite:///{folder / 'shop.db'}", **settings))

    @app.get("/who")
    async def read_who(request: Request) -> str:
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
    async def test_every_answer_has_them_refusals_too(self, tmp_path: Path, path: str) -> None:
        async with a_shop(tmp_path) as client:
            headers = (await client.get(path)).headers
        assert {name: headers.get(name) for name in HEADERS} == HEADERS
        assert "Strict-Transport-Security" not in headers

    async def test_those_of_the_documentation_stand(self, tmp_path: Path) -> None:
        async with a_shop(tmp_path) as client:
            headers = (await client.get("/docs")).headers
        assert "script-src 'self'" in headers["Content-Security-Policy"]
        assert headers.get_list("Content-Security-Policy") == [headers["Content-Security-Policy"]]
        assert headers["X-Frame-Options"] == "DENY"

    async def test_production_is_for_https_alone(self, tmp_path: Path) -> None:
        production: dict[str, Any] = {
            "environment": Environment.PRODUCTION,
            "allowed_hosts": ["shop.example.com"],
            "forwarded_allow_ips": ["127.0.0.1"],
        }
        async with a_shop(tmp_path, **production) as client:
            assert "max-age=" in (await client.get("/health")).headers["Strict-Transport-Security"]


class TestHosts:
    @pytest.mark.parametrize(
        ("host", "status"),
        [
            ("shop.example.com", 200),
            ("SHOP.example.com:8000", 200),
            ("a.example.org", 200),
            ("example.org", 400),
            ("evil.example", 400),
            ("shop.example.com.evil.example", 400),
            ("shop.example.com@evil.example", 400),
            ("", 400),
        ],
    )
    async def test_only_those_that_are_allowed(self, tmp_path: Path, host: str, status: int) -> None:
        async with a_shop(tmp_path, allowed_hosts=["shop.example.com", "*.example.org"]) as client:
            response = await client.get("/health", headers={"Host": host})
        assert response.status_code == status, response.text
        if status == 400:
            assert response.headers["Content-Type"] == PROBLEM_JSON
            assert "ALLOWED_HOSTS" in response.json()["detail"]
            assert response.headers["X-Content-Type-Options"] == "nosniff"

    async def test_nothing_redirects_to_a_host_of_the_clients_choice(self, tmp_path: Path) -> None:
        async with a_shop(tmp_path, allowed_hosts=["www.example.com"]) as client:
            answers = [
                await client.get("/health", headers={"Host": "example.com"}),
                await client.get("/health/", headers={"Host": "www.example.com"}),
                await client.get("http://www.example.com//evil.example/", headers={"Host": "www.example.com"}),
            ]
        assert [answer.status_code for answer in answers] == [400, 200, 404]
        assert not any("Location" in answer.headers for answer in answers)


class TestOrigins:
    ASKED = {"Origin": "https://www.example.com", "Access-Control-Request-Method": "POST"}

    async def test_without_a_setting_no_other_website_may(self, tmp_path: Path) -> None:
        async with a_shop(tmp_path) as client:
            asked = await client.options("/orders", headers=self.ASKED)
            read = await client.get("/health", headers=self.ASKED)
        assert "Access-Control-Allow-Origin" not in asked.headers
        assert "Access-Control-Allow-Origin" not in read.headers

    async def test_those_that_are_set_may_and_no_other(self, tmp_path: Path) -> None:
        other = {**self.ASKED, "Origin": "https://evil.example"}
        key = {**self.ASKED, "Access-Control-Request-Headers": "authorization, idempotency-key, content-type"}
        async with a_shop(tmp_path, cors_origins=["https://www.example.com"]) as client:
            asked = await client.options("/orders", headers=key)
            read = await client.get("/users/me", headers=self.ASKED)
            refused = await client.options("/orders", headers=other)
            unread = await client.get("/users/me", headers=other)
        assert asked.status_code == 200
        assert asked.headers["Access-Control-Allow-Origin"] == "https://www.example.com"
        assert "Access-Control-Allow-Credentials" not in asked.headers
        assert read.headers["Access-Control-Allow-Origin"] == "https://www.example.com"
        assert "Idempotent-Replayed" in read.headers["Access-Control-Expose-Headers"]
        assert "Origin" in read.headers["Vary"]
        assert refused.status_code == 400
        assert refused.headers["Content-Type"] == PROBLEM_JSON
        assert refused.json()["detail"] == "Disallowed CORS origin."
        assert "Origin" in refused.headers["Vary"]
        assert "Access-Control-Allow-Origin" not in unread.headers


class TestForwardedAddresses:
    FORWARDED = {"X-Forwarded-For": "198.51.100.66, 192.0.2.1", "X-Forwarded-Proto": "https"}

    @pytest.mark.parametrize("trusted", [["127.0.0.1"], ["10.0.0.0/8"]])
    async def test_are_not_believed_of_anybody(self, tmp_path: Path, trusted: list[str]) -> None:
        async with a_shop(tmp_path, forwarded_allow_ips=trusted) as client:
            assert (await client.get("/who", headers=self.FORWARDED)).json() == "http 203.0.113.7"

    async def test_are_believed_of_a_proxy_as_far_as_it_knows(self, tmp_path: Path) -> None:
        """The client wrote the first one itself; the last one is what the proxy saw."""
        async with a_shop(tmp_path, "10.1.2.3", forwarded_allow_ips=["10.0.0.0/8"]) as client:
            assert (await client.get("/who", headers=self.FORWARDED)).json() == "https 192.0.2.1"
