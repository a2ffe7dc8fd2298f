"""The servers that are compared, with what they log and what they cost."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from sqlalchemy import make_url

from tests.databases import ask
from tests.faults.service import PROCFILE, Service
from tests.support import ROOT

PATIENCE = 30
"""Seconds to stop."""

CONNECTIONS = 16
"""Of each server's pool, and as many clients."""

BEFORE = "dfe7519"
"""The last commit before the fast paths."""

HERE = Path(__file__).parent
QUIET = "--no-access-log"
PLAIN = f"uvicorn {{}}:app --app-dir {HERE} --port $PORT --log-level warning {QUIET}"


class Server(Service):
    """A service that is measured. `code` is the folder whose `api` it runs."""

    def __init__(
        self,
        database_url: str,
        folder: Path,
        workers: int,
        command: str = PROCFILE,
        code: Path = ROOT,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(database_url, folder, command, workers, code)
        self._environment |= {"DATABASE_POOL_SIZE": str(CONNECTIONS), "DATABASE_MAX_OVERFLOW": "0"}
        self._environment |= {"ACCESS_LOG": "false", **(environment or {})}
        self.log.touch()
        self._news = self.log.open()

    def news(self) -> str:
        """What was logged since this was last asked."""
        return self._news.read()

    def cpu(self) -> float:
        """Seconds that the server and its workers have used."""
        server = psutil.Process(self.process.pid)
        return _seconds([server, *server.children(recursive=True)])

    def fill(self, products: int, to_change: int) -> None:
        """Make the tables and the rows."""
        if self._command.startswith("uvicorn textbook"):
            script = HERE / "textbook.py"
        else:
            self.release()
            script = HERE / "fill.py"
        done = self.run(sys.executable, str(script), str(products), str(to_change))
        assert done.returncode == 0, done.stderr
        if self._environment["DATABASE_URL"].startswith("postgres"):  # as its own housekeeping would, in a minute
            ask(make_url(self._environment["DATABASE_URL"]), "VACUUM ANALYZE")

    def stop(self) -> None:
        self._news.close()
        self.terminate()
        self.process.wait(PATIENCE)


def database_cpu() -> float:
    """Seconds that all database servers of this machine have used."""
    names = {"postgres", "mariadbd", "mysqld"}
    return _seconds([each for each in psutil.process_iter(["name"]) if each.info["name"] in names])


def _seconds(processes: list[psutil.Process]) -> float:
    seconds = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # it has just ended
            used = process.cpu_times()
            seconds += used.user + used.system
    return seconds


@contextmanager
def serving(database_url: str, workers: int, folder: Path) -> Iterator[Server]:
    """The shop, on a database that is migrated."""
    server = Server(database_url, folder, workers)
    server.start()
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()


def code_before(folder: Path) -> Path | None:
    """The shop before the fast paths, checked out into a folder; `None` where the clone has no history."""
    archive = subprocess.run(["git", "archive", BEFORE], cwd=ROOT, capture_output=True)
    if archive.returncode:
        return None
    folder.mkdir()
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder
