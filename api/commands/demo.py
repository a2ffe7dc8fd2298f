"""`python -m api demo`: serve an invented shop from a file of its own."""

import argparse
import ipaddress
import socket
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from api.commands import serve, setup
from api.commands.command import Command, CommandFailed, with_database
from api.commands.listening import listening
from api.database.sessions import Database
from api.demo import cast
from api.demo.fill import Size, fill
from api.settings import Settings
from api.worker.followers import followers
from api.worker.job_rows import skip_to_end

FILE = Path("demo.db")

MARK = 0x5344454D
"""What SQLite keeps in its header as `application_id`: a file without it is not a demo, and is left alone."""

PASSWORD = "Demo1234"  # noqa: S105 - everybody knows it, so it opens the demo on this computer alone
SEED, SIZE = 1, Size()


def demo(settings: Settings, options: argparse.Namespace) -> int:
    _refuse(settings)
    with listening(settings.host, settings.port) as listeners:
        if options.fresh:
            _delete(FILE)
        if not FILE.exists():
            _make()
        ours = _settings(FILE)
        setup.migrate(ours)
        password = PASSWORD if _is_for_this_computer(listeners) else setup.strong_password()
        with_database(ours, lambda database: cast.admit(database, password))
        print(f"Sign in as {cast.ADMIN} (staff) or {cast.CUSTOMER} (customer) with the password {password}", flush=True)
        serve.introduce(listeners)
        from api.main import create_app  # which makes an app of the shop's own settings when it is imported

        return serve.run(create_app(ours), ours, listeners)


def _refuse(settings: Settings) -> None:
    url = settings.database
    if settings.is_production:
        raise CommandFailed("ENVIRONMENT is production: a demo's password is known to everybody")
    if url.get_backend_name() == "sqlite" and Path(str(url.database)).resolve() == FILE.resolve():
        raise CommandFailed(f"DATABASE_URL names {FILE}, which is the demo's own file")
    if FILE.exists() and not _is_demo(FILE):
        raise CommandFailed(f"{FILE} exists, and is not a demo's file: move it, or start the demo in another folder")


def _make() -> None:
    """Make the shop under another name, so that a start that is interrupted leaves no half of a demo."""
    part = FILE.with_name(f"{FILE.name}.part")
    _delete(part)
    settings, until = _settings(part), datetime.now(UTC)

    async def work(database: Database) -> None:
        await cast.add_cast(database, until)
        await fill(database, SIZE, seed=SEED, until=until)
        await skip_to_end(database, [each.name for each in followers(settings)])

    print(f"Making {FILE}, which takes some seconds", flush=True)
    setup.migrate(settings)
    with_database(settings, work)
    with closing(sqlite3.connect(part)) as connection:
        connection.execute(f"PRAGMA application_id = {MARK}")
    part.rename(FILE)


def _settings(file: Path) -> Settings:
    return Settings(database_url=f"sqlite:///{file}")


def _is_demo(file: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            return bool(connection.execute("PRAGMA application_id").fetchone()[0] == MARK)
    except sqlite3.Error:
        return False


def _delete(file: Path) -> None:
    for each in (file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
        each.unlink(missing_ok=True)


def _is_for_this_computer(listeners: list[socket.socket]) -> bool:
    return all(
        each.family == socket.AF_UNIX or ipaddress.ip_address(each.getsockname()[0]).is_loopback for each in listeners
    )


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fresh", action="store_true", help=f"make {FILE} anew")


command = Command("demo", f"serve an invented shop, which is kept in {FILE}", demo, _add_arguments)
