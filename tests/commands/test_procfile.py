"""The Procfile: its release command and its web process."""

import os
import re
import signal
import sys
from pathlib import Path

import httpx
import pytest

from api.commands.serve import GRACEFUL_SHUTDOWN
from api.main import STOP_TIMEOUT
from api.web.transactions import LONGEST_REQUEST
from tests.alembic_support import alembic
from tests.commands.support import finish, read_until, running
from tests.support import ROOT, free_port

pytestmark = pytest.mark.usefixtures("environment")


BETWEEN_TERM_AND_KILL = 30
"""Seconds that Heroku gives a process to end."""


class TestProcfile:
    @pytest.mark.parametrize("backend", ["sqlite", "postgresql"], indirect=True)
    def test_the_release_migrates_the_database_and_the_web_process_serves(
        self, url: str, environment: pytest.MonkeyPatch
    ) -> None:
        port = free_port()
        environment.setenv("DATABASE_URL", url.replace("postgresql://", "postgres://"))
        environment.setenv("PORT", str(port))
        environment.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        honcho = ["honcho", "--procfile", str(ROOT / "Procfile"), "--env", os.devnull]

        with running(*honcho, "start", "release", cwd=ROOT) as release:
            output, _ = release.communicate(timeout=60)
        assert release.returncode == 0, output
        alembic(url, "check")

        with running(*honcho, "start", "web", cwd=ROOT) as web:
            read_until(web, f"(http://0.0.0.0:{port})")
            response = httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=30)
            assert response.status_code == 200, response.text
            _, output = finish(web, signal.SIGTERM)
        assert "Application shutdown complete" in output
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{port}/health")

    def test_a_stop_waits_for_the_longest_request_and_ends_before_the_platform_kills(self) -> None:
        (of_procfile,) = re.findall(r"--timeout-graceful-shutdown (\d+)", (ROOT / "Procfile").read_text())
        assert int(of_procfile) == GRACEFUL_SHUTDOWN
        assert LONGEST_REQUEST <= GRACEFUL_SHUTDOWN < BETWEEN_TERM_AND_KILL - 2 * STOP_TIMEOUT
