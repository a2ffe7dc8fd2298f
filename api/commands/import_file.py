"""`python -m api import ENTITY FILE`: add and change rows by a file of CSV or JSON Lines."""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from api.commands.command import Command, CommandFailed, with_database
from api.commands.export_file import format_of
from api.commands.progress import Progress
from api.database.sessions import Database
from api.errors import BadRows
from api.import_export.exports import FileFormat
from api.import_export.imports import ImportReport, Options, RowProblem, imports
from api.import_export.running import import_file
from api.settings import Settings

STANDARD_INPUT = "-"


def run(settings: Settings, options: argparse.Namespace) -> int:
    chosen = Options(options.dry_run, options.skip_bad_rows, options.stock)
    file_format = format_of(options.format, None if options.file == STANDARD_INPUT else options.file)
    with _opened(options.file) as file, Progress() as progress:

        def tell(problem: RowProblem) -> None:
            progress.clear()
            print(f"{problem.place}: {problem.message}", file=sys.stderr)

        async def work(database: Database) -> ImportReport:
            return await import_file(
                database, options.entity, file, file_format, chosen, on_progress=progress.show, on_problem=tell
            )

        try:
            report = with_database(settings, work)
        except BadRows as error:  # each of which was told already
            raise CommandFailed(error.summary) from error
    for line in _told(options.entity, report):
        print(line)
    return 1 if report.bad else 0


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    """A file is read twice, which the standard input cannot be."""
    if name != STANDARD_INPUT:
        with open(name, "rb") as file:  # noqa: PTH123 - what a person names, also a device
            yield file
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy)
        yield copy


def _told(entity: str, report: ImportReport) -> Iterator[str]:
    would = "would be " if report.dry_run else ""
    yield (
        f"{report.rows:,} rows of {entity}: {report.created:,} {would}added, {report.updated:,} {would}changed, "
        f"{report.unchanged:,} unchanged, {report.bad:,} bad"
    )
    if report.stock_kept:
        yield f"The stock of {report.stock_kept:,} products differs from the file and was kept; --stock sets it."
    if report.not_imported:
        yield f"The shop sets these columns itself, and the file's were left out: {', '.join(report.not_imported)}."


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("entity", metavar="ENTITY", choices=imports(), help=", ".join(imports()))
    parser.add_argument("file", metavar="FILE", help="CSV or JSON Lines; - is the standard input")
    parser.add_argument("--format", choices=[*FileFormat], help="by default that of the file's name, else csv")
    parser.add_argument("--dry-run", action="store_true", help="check all rows, and write nothing")
    parser.add_argument(
        "--skip-bad-rows",
        action="store_true",
        help="import the good rows although others are bad, in short transactions",
    )
    parser.add_argument("--stock", action="store_true", help="set the stock of products that exist, by stock movements")


command = Command("import", "add and change rows by a file of CSV or JSON Lines", run, _add_arguments)
