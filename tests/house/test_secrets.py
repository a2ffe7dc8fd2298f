"""The log has nothing of what clients send: every route is called with marked values, and the log has no mark."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api.settings import Settings
from api.telemetry import logs
from tests.house.access_matrix import CALLERS, Line, matrix
from tests.world import PRIVATE, World

MARK = "hunter2mark"

IN_PATHS = (
    f"/users/by-email/{MARK}@example.com",
    f"/users/by-mail/{MARK}@example.com",
    f"/products/by-sku/{MARK}",
    f"/posts/by-slug/{MARK}",
    f"/{MARK}/{MARK}",
    f"/docs/{MARK}/{MARK}",
    f"/admin/{MARK}",
    f"/exports/{MARK}",
)


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Iterator[pytest.CaptureFixture[str]]:
    """The log at its most talkative."""
    root, level = list(logging.getLogger().handlers), logging.getLogger("api").level
    logs.set_up(Settings(_env_file=None, log_level="debug", log_format="json"))
    yield capsys
    logging.getLogger().handlers = root
    logging.getLogger("api").setLevel(level)


def marked(value: Any) -> Any:
    """The same value with a mark in each of its texts."""
    match value:
        case dict():
            return {"marked": MARK} | {name: marked(each) for name, each in value.items()}
        case list():
            return [marked(each) for each in value]
        case str():
            return f"{MARK}{value}"
    return value


def with_marks(request: dict[str, Any]) -> dict[str, Any]:
    """A request with marks in its body, its query and its headers; its path stays, or no route would be found."""
    sent = {name: marked(value) for name, value in request.items() if name in {"json", "data"}}
    return sent | {"params": {"search": MARK, "token": MARK}, "headers": {"Cookie": f"session={MARK}"}}


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
class TestSecrets:
    async def test_no_line_of_the_log_has_what_a_client_sent(
        self, backend: object, app: FastAPI, world: World, written: pytest.CaptureFixture[str]
    ) -> None:
        calls = [(line, line.request(app, world)) for line in matrix()]
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test.example") as client:
            for line, request in calls:
                path = request.pop("path")
                for caller in CALLERS:
                    given = {} if caller == "nobody" else {"Authorization": f"Bearer {world.secrets[caller]}"}
                    await send(client, line, path, request, given)
                    await send(client, line, path, with_marks(request), given)
                await send(client, line, path, request, {"Authorization": f"Bearer {MARK}"})
            for path in IN_PATHS:
                await client.get(path)
        await world.restore()

        log = written.readouterr().err
        requests = [each for each in map(json.loads, log.splitlines()) if each["logger"] == "api.access"]
        assert len(requests) >= 9 * len(calls) + len(IN_PATHS)
        found = {secret for secret in (MARK, PRIVATE, *world.secrets.values()) if secret in log}
        assert not found, [line for line in log.splitlines() if any(each in line for each in found)][:3]


async def send(
    client: httpx.AsyncClient, line: Line, path: str, request: dict[str, Any], headers: dict[str, str]
) -> None:
    given = {**request.get("headers", {}), **headers}
    await client.request(line.method, path, **{**request, "headers": given})
