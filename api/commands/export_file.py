"""`python -m api export ENTITY [FILE]`: write the rows of an entity as CSV or JSON Lines."""

import argparse
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from api.commands.command import Command, CommandFailed, with_database
from api.database.sessions import Database
from api.import_export.exports import write_export
from api.import_export.families import exports
from api.settings import Settings
from api.web.file_formats import FileFormat


def export_file(settings: Settings, options: argparse.Namespace) -> int:
    export, file_format = exports()[options.entity], format_of(options.format, options.file)

    async def write(database: Database) -> None:
        with _opened(options.file) as file:
            async for part in write_export(database, export, file_format):
                file.write(part)

    with_database(settings, write)
    return 0


def format_of(chosen: str | None, name: str | None) -> FileFormat:
    """The format that is named, else the one that the name of a file ends with, else CSV.

    Raises:
        CommandFailed: The name ends otherwise.
    """
    if chosen:
        return FileFormat(chosen)
    if not Path(name or "").suffix:
        return FileFormat.CSV
    if found := FileFormat.of_name(name):
        return found
    raise CommandFailed(f"{name} is called neither .csv nor .jsonl: say --format csv or --format jsonl")


@contextmanager
def _opened(name: str | None) -> Iterator[BinaryIO]:
    """The standard output, or a file that has its name once it is whole: a failure leaves what was there before.

    A link stays, and what it leads to is replaced. What is no file, such as a pipe, is written to as it is.
    """
    if name is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if Path(name).exists() and not Path(name).is_file():
        with Path(name).open("wb") as file:
            yield file
        return
    target = Path(name).resolve()
    handle, part = tempfile.mkstemp(prefix=f"{target.name}.", suffix=".part", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        Path(part).chmod(_mode_of(target))
        Path(part).rename(target)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def _mode_of(target: Path) -> int:
    """Who may read a file: as before, or as this user's new files may be read."""
    if target.exists():
        return stat.S_IMODE(target.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("entity", metavar="ENTITY", choices=exports(), help=", ".join(exports()))
    parser.add_argument("file", metavar="FILE", nargs="?", help="the standard output if absent")
    parser.add_argument("--format", choices=[*FileFormat], help="by default that of the file's name, else csv")


command = Command("export", "write the rows of an entity as CSV or JSON Lines", export_file, _add_arguments)
