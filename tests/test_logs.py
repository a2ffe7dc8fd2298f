"""Logging: which loggers have which level."""

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import sleep
from typing import Any, Literal

import httpx
import pytest

from api import logs
from api.main import create_app
from api.settings import Settings
from tests.support import ROOT


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def until_it_answers(url: str) -> None:
    for _ in range(300):
        with suppress(httpx.TransportError):
            assert httpx.get(url).status_code == 200
            return
        sleep(0.1)
    raise AssertionError(f"{url} does not answer")


@pytest.fixture(autouse=True)
def restored_loggers() -> Iterator[None]:
    """The loggers are as before at the end of a test."""
    levels = {name: logging.getLogger(name).level for name in ("api", "alembic.runtime.migration")}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logging.getLogger("alembic.runtime.migration").filters.clear()


class TestLogs:
    def test_the_debug_level_is_only_for_the_loggers_of_the_shop(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """At this level, drivers log the values of statements, and with them the hashes of passwords."""
        basic: dict[str, Any] = {}
        monkeypatch.setattr(logging, "basicConfig", lambda **options: basic.update(options))
        logs.set_up(Settings(_env_file=None, log_level="debug"))
        assert basic["level"] == logging.INFO
        assert logging.getLogger("api").level == logging.DEBUG
        logs.set_up(Settings(_env_file=None, log_level="error"))
        assert basic["level"] == logging.ERROR

    @pytest.mark.parametrize("command", ["the Procfile's", "python -m api"])
    @pytest.mark.parametrize("switch", ["false", None])
    def test_each_request_is_a_line_unless_the_access_log_is_off(
        self, tmp_path: Path, command: str, switch: str | None
    ) -> None:
        port = free_port()
        procfile = ["uvicorn", "api.main:app", "--port", str(port), "--no-proxy-headers", "--no-server-header"]
        start = [sys.executable, "-m", *(["api"] if command == "python -m api" else procfile)]
        ours = {"PYTHONPATH": str(ROOT), "PORT": str(port), "PATH": os.environ["PATH"]}
        process = subprocess.Popen(
            start,
            cwd=tmp_path,
            env=ours | ({"ACCESS_LOG": switch} if switch else {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            until_it_answers(f"http://127.0.0.1:{port}/health")
        finally:
            process.terminate()
            output, _ = process.communicate(timeout=30)
        assert ('"GET /health HTTP/1.1" 200' in output) == (switch != "false"), output

    @pytest.mark.parametrize("level", ["debug", "warning"])
    async def test_the_level_of_the_settings_counts_for_an_app_that_uvicorn_starts(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, level: Literal["debug", "warning"]
    ) -> None:
        """The Procfile starts the app with uvicorn, and not with `python -m api`."""
        monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
        app = create_app(Settings(_env_file=None, database_url=f"sqlite:///{tmp_path / 'shop.db'}", log_level=level))
        async with app.router.lifespan_context(app):
            assert logging.getLogger("api").level == logging.getLevelNamesMapping()[level.upper()]
