"""Databases that may be killed, each with a server of its own: the machine's are left alone."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest
from sqlalchemy import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from tests.databases import NOT_STARTED, ask, start_from_the_wheel
from tests.support import free_port

RESTARTS_WITHIN = 60
"""Seconds for a server to recover its files and answer."""


class Sqlite:
    """A file: there is nothing to kill but the processes that use it."""

    def __init__(self, folder: Path) -> None:
        url = URL.create("sqlite", database=str(folder / "shop.db"))
        self.url = url.render_as_string()
        self.version = f"SQLite {ask(url, 'SELECT sqlite_version()')}"


class Postgresql:
    """PostgreSQL from the wheel. `kill -9` of its postmaster is what the manual warns of, and what a machine does."""

    def __init__(self, folder: Path) -> None:
        self._server = start_from_the_wheel(folder)
        server = make_url(self._server.get_uri())
        self.version = f"PostgreSQL {ask(server, 'SHOW server_version')}"
        assert ask(server, "SHOW fsync") == ask(server, "SHOW synchronous_commit") == "on"
        ask(server, "CREATE DATABASE shop TEMPLATE template0 ENCODING 'UTF8'")
        self.url = server.set(database="shop").render_as_string(hide_password=False)

    def kill(self) -> None:
        postmaster = psutil.Process(self._server.get_pid())
        self._children = postmaster.children(recursive=True)
        postmaster.kill()

    def start(self) -> None:
        """It refuses to start while a process of the killed one is still there."""
        psutil.wait_procs(self._children, timeout=RESTARTS_WITHIN)
        _until(self._starts)

    def _starts(self) -> bool:
        try:
            self._server.ensure_postgres_running()
        except (*NOT_STARTED, psutil.Error):
            return False
        return True

    def close(self) -> None:
        self._server.cleanup()


class Mariadb:
    """MariaDB from the machine's packages, with files and a port of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._files, self._log = folder / "files", folder / "mariadb.log"
        self._port = free_port()
        user = ["--user=mysql"] if os.geteuid() == 0 else []
        if user:  # the server gives up root for this user
            folder.chmod(0o755)
            self._files.mkdir()
            shutil.chown(self._files, "mysql")
        install = ["mariadb-install-db", "--no-defaults", f"--datadir={self._files}", "--skip-test-db", *user]
        subprocess.run(
            [*install, "--auth-root-authentication-method=normal"], check=True, capture_output=True, timeout=60
        )
        self._command = [
            shutil.which("mariadbd") or "mariadbd",
            "--no-defaults",
            f"--datadir={self._files}",
            f"--port={self._port}",
            "--bind-address=127.0.0.1",
            f"--socket={self._files}/mariadb.sock",
            f"--pid-file={self._files}/mariadb.pid",
            "--plugin-maturity=stable",
            *options,
            *user,
        ]
        self._server = URL.create("mysql", "root", host="127.0.0.1", port=self._port)
        self.start()
        self.version = str(ask(self._server, "SELECT version()"))
        assert ask(self._server, "SELECT @@innodb_flush_log_at_trx_commit") == 1
        ask(self._server, "CREATE DATABASE shop")
        self.url = self._server.set(database="shop").render_as_string()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        _until(lambda: _answers(self._server))

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


Server = Postgresql | Mariadb
"""What can be killed, and started again."""


def _until(succeeds: Callable[[], bool]) -> None:
    deadline = monotonic() + RESTARTS_WITHIN
    while not succeeds():
        assert monotonic() < deadline, "the database did not start"
        sleep(0.2)


@contextmanager
def _sqlite() -> Iterator[Sqlite | Server]:
    with tempfile.TemporaryDirectory(prefix="shop-faults-") as folder:
        yield Sqlite(Path(folder))


@contextmanager
def _postgresql() -> Iterator[Sqlite | Server]:
    server = Postgresql(Path(tempfile.mkdtemp(prefix="shop-faults-")))
    try:
        yield server
    finally:
        server.close()


@contextmanager
def mariadb(*options: str) -> Iterator[Mariadb]:
    """A server of its own, with options of its command line."""
    if shutil.which("mariadbd") is None or shutil.which("mariadb-install-db") is None:
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up("MariaDB's server is not installed here, and one on another machine cannot be killed")
    with tempfile.TemporaryDirectory(prefix="shop-faults-") as folder:
        server = Mariadb(Path(folder), *options)
        try:
            yield server
        finally:
            server.close()


@contextmanager
def postgresql_of_the_system(*options: str) -> Iterator[URL]:
    """A server from the machine's packages, which listens on TCP; the one of the wheel does so on a socket alone."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up("PostgreSQL's server is not installed here")
    user = "postgres" if os.geteuid() == 0 else None  # the server refuses to run as root
    with tempfile.TemporaryDirectory(prefix="shop-pg-") as folder:
        if user:
            shutil.chown(folder, user)
        files, port = f"{folder}/files", free_port()
        init = [str(found[-1]), "-D", files, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"]
        subprocess.run(init, check=True, capture_output=True, timeout=60, user=user)
        command = [str(found[-1].with_name("postgres")), "-D", files, "-p", str(port), "-k", folder, *options]
        with Path(folder, "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, user=user)
        url = URL.create("postgresql", "postgres", host="127.0.0.1", port=port, database="postgres")
        try:
            _until(lambda: _answers(url))
            yield url
        finally:
            process.terminate()
            process.wait()


def _answers(url: URL) -> bool:
    try:
        return bool(ask(url, "SELECT 1"))
    except SQLAlchemyError:
        return False


KILLABLE: dict[str, Callable[[], AbstractContextManager[Sqlite | Server]]] = {
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "mariadb": mariadb,
}
