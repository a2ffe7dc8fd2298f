"""The shop as the Procfile starts it, on a port that is free."""

import asyncio
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

from tests.benchmarks.connection import Connection

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 30
"""Seconds to start, and to stop."""


class Server:
    """One that has been started, what it logs, and what it costs."""

    def __init__(self, database_url: str, workers: int, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        (web,) = re.findall(r"^web: (.*)$", (ROOT / "Procfile").read_text(), re.MULTILINE)
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "LOG_LEVEL": "info",
            "DATABASE_URL": database_url,
            "WEB_CONCURRENCY": str(workers),
        }
        log = folder / "server.log"
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *shlex.split(web.replace("$PORT", str(self.port)))],
                env=environment,
                cwd=folder,  # where there is no .env
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self._log = log.open()

    def news(self) -> str:
        """What was logged since this was last asked."""
        return self._log.read()

    def cpu(self) -> float:
        """Seconds that the server and its workers have used, from proc(5); always 0 where there is no such thing."""
        ticks = 0
        for file in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # it has just ended
                fields = file.read_text().rpartition(")")[2].split()
                if int(fields[3]) == self._process.pid:  # a session has the id of its first process
                    ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def wait_until_ready(self) -> None:
        began = monotonic()
        while not asyncio.run(self._is_ready()):
            if self._process.poll() is not None or monotonic() - began > PATIENCE:
                raise SystemExit(f"the server does not start:\n{self.news()}")
            sleep(0.1)

    async def _is_ready(self) -> bool:
        try:
            connection = await Connection.open(self.port)
            status = await connection.send(b"GET /health/ready HTTP/1.1\r\nHost: shop\r\n\r\n")
        except (OSError, EOFError):
            return False
        connection.close()
        return status == 200

    def stop(self) -> None:
        self._log.close()
        self._process.terminate()
        self._process.wait(PATIENCE)


@contextmanager
def serving(database_url: str, workers: int, folder: Path) -> Iterator[Server]:
    server = Server(database_url, workers, folder)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()
