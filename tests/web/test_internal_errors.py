"""The answer to a request that fails with an error of the app."""

import logging
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.settings import Settings
from tests.apps import running
from tests.web.problems import assert_problem

ORIGIN = {"Origin": "https://www.example.com"}


def broken(*args: Any) -> None:
    raise RuntimeError("secret")


async def test_an_internal_error_discloses_nothing_and_is_logged_with_its_cause(
    app: FastAPI, session: AsyncSession, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(app.state.database, "check_out", broken)
    async with AsyncClient(transport=ASGITransport(app), base_url="http://test.example") as client:
        with caplog.at_level(logging.ERROR):
            response = await client.get("/tags")

    assert_problem(response, 500, "Internal Server Error")
    assert "secret" not in response.text
    assert [record.getMessage() for record in caplog.records] == ["GET /tags failed"]
    assert "RuntimeError: secret" in caplog.text


async def test_an_internal_error_has_the_headers_of_every_answer(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(settings, cors_origins=[ORIGIN["Origin"]]) as app:
        monkeypatch.setattr(app.state.database, "check_out", broken)
        async with AsyncClient(transport=ASGITransport(app), base_url="http://test.example") as client:
            failed = await client.get("/tags", headers=ORIGIN)
            succeeded = await client.get("/health", headers=ORIGIN)

    assert_problem(failed, 500, "Internal Server Error")
    own = {"content-length", "content-type", "x-request-id"}
    assert {name: value for name, value in failed.headers.items() if name not in own} == {
        name: value for name, value in succeeded.headers.items() if name not in own
    }
    assert failed.headers["Access-Control-Allow-Origin"] == ORIGIN["Origin"]
    assert failed.headers["X-Content-Type-Options"] == "nosniff"


async def test_an_error_of_middleware_itself_is_a_problem_that_announces_the_end_of_the_connection(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.web.hosts.AllowedHosts.__call__", broken)
    transport = ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://test.example") as client:
        response = await client.get("/health")

    assert_problem(response, 500, "Internal Server Error")
    assert response.headers["Connection"] == "close"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
