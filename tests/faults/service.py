"""The shop as it is deployed: the Procfile's command, with two workers, on a port of its own."""

import asyncio
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import httpx
import psutil

from api.settings import Settings
from tests.support import ROOT, free_port

READY_WITHIN = 120
"""Seconds in which a service has to answer again, on a machine with other things to do."""

PORT_TAKEN = "ddress already in use"

DIES_WITHIN = 60
"""Seconds for a process that is killed: one that waits for a busy disk ends only then."""

ASKED_FOR = 5
"""Seconds to wait for one answer to the question whether it is ready; then it is asked again."""

ANSWERS_WITHIN = 30
"""Seconds for an answer, on a machine with other things to do."""


def web_command(code: Path) -> str:
    """The command that a platform runs, by the Procfile of a folder."""
    lines = (code / "Procfile").read_text().splitlines()
    return next(line.removeprefix("web: ") for line in lines if line.startswith("web: "))


PROCFILE = web_command(ROOT)


def environment_of(database_url: str, code: Path = ROOT) -> dict[str, str]:
    """The environment of a process of the shop, without the settings of whoever runs the tests."""
    ours = {name.upper() for name in Settings.model_fields}
    others = {name: value for name, value in os.environ.items() if name not in ours}
    return others | {"PYTHONPATH": str(code), "DATABASE_URL": database_url}


class Service:
    """A worker that is killed is replaced by its supervisor. After `kill` nobody starts anything."""

    def __init__(self, database_url: str, folder: Path, command: str, workers: int = 2, code: Path = ROOT) -> None:
        self._command = command
        self._code = code
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = folder / "service.log"
        self._folder = folder
        self._environment = environment_of(database_url, code) | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PORT": str(self.port),
            "WEB_CONCURRENCY": str(workers),
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """Of the service's processes."""
        return self._environment

    def run(self, *command: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """Run another command of the shop beside it, for so many seconds at most."""
        return subprocess.run(
            command, cwd=self._folder, env=self._environment, capture_output=True, text=True, timeout=seconds
        )

    def release(self) -> None:
        """Do what the Procfile's release phase does."""
        alembic_ini = str(self._code / "alembic.ini")
        done = self.run(sys.executable, "-m", "alembic", "-c", alembic_ini, "upgrade", "head")
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                shlex.split(self._command.replace("$PORT", str(self.port))),
                cwd=self._folder,
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,  # so that all of it can be killed at once
            )

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, "it was not started"
        return self._process

    def workers(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if any("spawn_main" in word for word in _command_of(child))]

    def kill_workers(self, how_many: int) -> None:
        """As soon as there are so many: after an earlier kill, another one is about to start."""
        deadline = monotonic() + READY_WITHIN
        while len(workers := self.workers()) < how_many:
            assert self.process.poll() is None, f"it has ended:\n{self.last_words()}"
            assert monotonic() < deadline, f"no {how_many} workers:\n{self.last_words()}"
            sleep(0.1)
        for worker in workers[:how_many]:
            worker.kill()

    def kill(self) -> None:
        """The supervisor and all of its workers, at one moment; each has the port until it is gone."""
        everyone = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        deadline = monotonic() + DIES_WITHIN
        while any(map(_is_alive, everyone)):
            assert monotonic() < deadline, f"a killed process is still there: {everyone}"
            sleep(0.01)

    def terminate(self) -> None:
        self.process.terminate()

    def wait_until_ready(self) -> float:
        """Wait until the database is answered for, and say how many seconds that took.

        Where somebody had the port for a moment, it is started again, as a platform does.
        """
        began = monotonic()
        while monotonic() - began < READY_WITHIN:
            if self.process.poll() is not None:
                last = self.last_words()
                assert PORT_TAKEN in last.rpartition("\n")[2], f"it has ended:\n{last}"
                sleep(0.5)
                self.start()
            try:
                if httpx.get(f"{self.url}/health/ready", timeout=ASKED_FOR).is_success:
                    return monotonic() - began
            except httpx.TransportError:
                pass
            sleep(0.1)
        raise AssertionError(f"not ready within {READY_WITHIN} seconds:\n{self.last_words()}")

    async def begin(
        self, request: str, headers: dict[str, str], length: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Send a request without its body of JSON, and wait until the app asks for that: it is in flight then."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        own = {"Host": "127.0.0.1", "Content-Type": "application/json", "Content-Length": length}
        lines = "".join(f"{name}: {value}\r\n" for name, value in (headers | own | {"Expect": "100-continue"}).items())
        writer.write(f"{request} HTTP/1.1\r\n{lines}\r\n".encode())
        async with asyncio.timeout(ANSWERS_WITHIN):
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        return reader, writer

    def last_words(self) -> str:
        return "\n".join(self.log.read_text().splitlines()[-60:])


@contextmanager
def running(database_url: str, folder: Path, command: str = PROCFILE) -> Iterator[Service]:
    """A service that answers, on a database that is migrated here."""
    service = Service(database_url, folder, command)
    service.release()
    with answering(service):
        yield service


@contextmanager
def serving(database_url: str, folder: Path, command: str = PROCFILE) -> Iterator[Service]:
    """A service that answers, on a database that has its tables."""
    service = Service(database_url, folder, command)
    with answering(service):
        yield service


@contextmanager
def answering(service: Service) -> Iterator[None]:
    """Start a service, and kill it after the block."""
    service.start()
    try:
        service.wait_until_ready()
        yield
    finally:
        if service.process.poll() is None:
            service.kill()


def _command_of(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:  # it has ended in the meantime
        return []


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
