"""The shop as the Procfile starts it, with what it logs and what it costs."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.faults.service import PROCFILE, Service

PATIENCE = 30
"""Seconds to stop."""


class Server(Service):
    """A service that is measured."""

    def __init__(self, database_url: str, folder: Path, workers: int) -> None:
        super().__init__(database_url, folder, PROCFILE, workers)
        self.log.touch()
        self._news = self.log.open()

    def news(self) -> str:
        """What was logged since this was last asked."""
        return self._news.read()

    def cpu(self) -> float:
        """Seconds that the server and its workers have used."""
        server = psutil.Process(self.process.pid)
        seconds = 0.0
        for process in [server, *server.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):  # it has just ended
                used = process.cpu_times()
                seconds += used.user + used.system
        return seconds

    def stop(self) -> None:
        self._news.close()
        self.terminate()
        self.process.wait(PATIENCE)


@contextmanager
def serving(database_url: str, workers: int, folder: Path) -> Iterator[Server]:
    server = Server(database_url, folder, workers)
    server.start()
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()
