"""`python -m api import ENTITY FILE`: add and change rows by a file of CSV or JSON Lines."""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO

from tqdm import tqdm

from api.commands.command import Command, CommandFailed, with_database
from api.commands.export_file import format_of
from api.database.sessions import Database
from api.errors import BadRows
from api.import_export.imports import ImportReport, Options, RowProblem, imports
from api.import_export.running import import_file
from api.settings import Settings
from api.web.file_formats import FileFormat

STANDARD_INPUT = "-"


def run(settings: Settings, options: argparse.Namespace) -> int:
    chosen = Options(options.dry_run, options.skip_bad_rows, options.stock)
    file_format = format_of(options.format, None if options.file == STANDARD_INPUT else options.file)
    with _opened(options.file) as file, _bar() as bar:

        def show(what: str, done: int, total: int) -> None:
            bar.desc, bar.total = what, total
            bar.update(done - bar.n)

        def tell(problem: RowProblem) -> None:
            tqdm.write(f"{problem.place}: {problem.message}", file=sys.stderr)  # above the bar

        async def work(database: Database) -> ImportReport:
            return await import_file(
                database, options.entity, file, file_format, chosen, on_progress=show, on_problem=tell
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
    """A file is read twice, which a pipe cannot be, whether it is the standard input or has a name."""
    with ExitStack() as opened:
        file: BinaryIO = sys.stdin.buffer
        if name != STANDARD_INPUT:
            file = opened.enter_context(open(name, "rb"))  # noqa: PTH123 - what a person names, also a device
        if not file.seekable():
            copy = opened.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(file, copy)
            file = copy
        yield file


def _bar() -> "tqdm[Any]":
    """Of bytes while the file is checked, then of rows; shown on a terminal alone, and gone at the end."""
    return tqdm(
        bar_format="{desc:9} {percentage:3.0f}%|{bar}| {elapsed}", disable=None, leave=False, dynamic_ncols=True
    )


def _told(entity: str, report: ImportReport) -> Iterator[str]:
    would = "would be " if report.dry_run else ""
    yield (
        f"{report.rows:,} rows of {entity}: {report.created:,} {would}added, {report.updated:,} {would}changed, "
        f"{report.unchanged:,} unchanged, {report.bad:,} bad"
    )
    if report.stock_kept:
        yield f"The stock of {report.stock_kept:,} products differs from the file and was kept; --stock sets it."
    if report.not_imported:
        yield f"A file does not set these columns, and they were left out: {', '.join(report.not_imported)}."


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("entity", metavar="ENTITY", choices=imports(), help=", ".join(imports()))
    parser.add_argument("file", metavar="FILE", help="CSV or JSON Lines; - is the standard input")
    parser.add_argument("--format", choices=[*FileFormat], help="by default that of the file's name, else csv")
    parser.add_argument("--dry-run", action="store_true", help="check all rows, and write nothing")
    parser.add_argument(
        "--skip-bad-rows",
        action="store_true",
        help="import the good rows although others are bad, in short transactions; categories in one",
    )
    parser.add_argument("--stock", action="store_true", help="set the stock of products that exist, by stock movements")


command = Command("import", "add and change rows by a file of CSV or JSON Lines", run, _add_arguments)
