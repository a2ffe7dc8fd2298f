"""The answer to a request that fails with an error of the app."""

from typing import Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from tests.web.problems import assert_problem


async def test_an_internal_error_discloses_nothing(
    app: FastAPI, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(app.state.database, "connection", broken)
    transport = ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://test.example") as client:
        response = await client.get("/tags")

    assert_problem(response, 500, "Internal Server Error")
    assert "secret" not in response.text
