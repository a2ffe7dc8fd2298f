"""`python -m api backup FILE`: a consistent copy of the embedded SQLite database, while the shop runs.

A plain copy of the file would miss what is in its `-wal`, or have half of it. SQLite's own backup reads one moment.
"""

import argparse
import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from api.commands.command import Command, CommandFailed
from api.settings import Settings

TOOLS = {
    "postgresql": "PostgreSQL has a tool of its own: pg_dump --format=custom --file=FILE NAME",
    "mysql": "MariaDB and MySQL have a tool of their own: mariadb-dump --single-transaction --result-file=FILE NAME",
}


def backup(settings: Settings, options: argparse.Namespace) -> int:
    url = settings.database
    if url.get_backend_name() in TOOLS:
        raise CommandFailed(f"backup copies the embedded SQLite database. {TOOLS[url.get_backend_name()]}")
    source, target = Path(str(url.database)), Path(options.file)
    if not source.is_file():
        raise CommandFailed(f"there is no database {source}")
    if target.exists():
        raise CommandFailed(f"{target} exists already")
    try:
        with tempfile.TemporaryDirectory(prefix=f"{target.name}.", suffix=".part", dir=target.parent) as folder:
            copy = Path(folder) / target.name
            copy.touch(mode=0o600)  # it holds the hashes of passwords
            _copy(source, copy)
            target.touch(exist_ok=False)  # what comes next would replace a file that was made meanwhile
            copy.replace(target)
        _make_durable(target.parent)
    except FileExistsError as error:
        raise CommandFailed(f"{target} exists already") from error
    except sqlite3.Error as error:
        raise CommandFailed(f"the database could not be copied: {error}") from error
    except OSError as error:
        raise CommandFailed(f"{target} cannot be written: {error.strerror}") from error
    print(f"{target} holds the database as it was now, {target.stat().st_size:,} bytes.")
    return 0


def _copy(source: Path, part: Path) -> None:
    """In one step: between two steps, a write would have it begin anew. Neither readers nor the writer wait for it."""
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as database,
        closing(sqlite3.connect(part)) as copy,
    ):
        database.backup(copy, pages=-1)


def _make_durable(folder: Path) -> None:
    """Have the name survive a power cut, as SQLite did with what the file holds."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a file that does not exist yet")


command = Command("backup", "copy the embedded SQLite database to a file, while the shop runs", backup, _add_arguments)
