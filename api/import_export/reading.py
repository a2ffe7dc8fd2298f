"""The first pass over a file: every row is read and checked, and what is to be written is staged."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO

from api.database.sessions import Database
from api.errors import BadRows
from api.import_export.checks import Check
from api.import_export.columns import columns_of
from api.import_export.files import Lines, Rows, csv_rows, json_rows, parts
from api.import_export.imports import MAX_PROBLEMS, Import, ImportReport, Options, RowProblem
from api.import_export.lost_references import drop_lost_references
from api.import_export.rows import Row
from api.import_export.staging import Staged, Staging
from api.web.file_formats import FileFormat

OnProgress = Callable[[str, int, int], None]
"""Is told what is being done, how much of it is done, and how much there is."""

OnProblem = Callable[[RowProblem], None]
"""Is told of every mistake; the report names the first ones."""


@dataclass
class CheckedFile:
    """What a file comes to, and the rows that are to be written."""

    report: ImportReport
    staging: Staging


class Written:
    """Which lines earlier attempts of an import have committed: a byte each, however many they are."""

    NEW, CHANGED = 1, 2

    def __init__(self) -> None:
        self._lines = bytearray()

    def note(self, lines: Iterable[int], *, as_new: bool) -> None:
        for line in lines:
            self._lines.extend(bytes(max(0, line + 1 - len(self._lines))))
            self._lines[line] = self._lines[line] or (self.NEW if as_new else self.CHANGED)

    def __getitem__(self, line: int) -> int | None:
        """How a line was written; `None` where it was not."""
        return (self._lines[line] or None) if line < len(self._lines) else None


def tell_nobody(*_: object) -> None:
    pass


@asynccontextmanager
async def check(
    database: Database,
    what: Import,
    file: BinaryIO,
    file_format: FileFormat,
    options: Options,
    on_progress: OnProgress = tell_nobody,
    on_problem: OnProblem = tell_nobody,
    written: Written | None = None,
) -> AsyncIterator[CheckedFile]:
    """Check all rows of a file; no transaction is held meanwhile. What was `written` before counts as it did then.

    Raises:
        BrokenFile: The file cannot be read.
        BadRows: Some rows are wrong, and are not to be skipped.
        Unavailable: The disk is full.
    """
    with Staging() as staging:
        reading = _Reading(what, file, file_format, options, staging, on_problem, written or Written())
        for raw in parts(reading.lines, reading.rows):
            async with database.reads() as session:
                checked = await reading.check.check(session, raw)
            for row in checked:
                reading.note(row)
            good = [row for row in checked if not row.problems]
            await reading.check.stage(good, is_refused=reading.is_refused)
            on_progress("checking", reading.lines.bytes_read, reading.size)
            await asyncio.sleep(0)  # others have their turn
        async for lost, problem in drop_lost_references(what, staging):
            reading.note_lost(lost, problem)
        if reading.is_refused:
            raise _bad_rows(reading.report)
        yield CheckedFile(reading.report, staging)


class _Reading:
    """A file that is being read, and what was found so far."""

    def __init__(
        self,
        what: Import,
        file: BinaryIO,
        file_format: FileFormat,
        options: Options,
        staging: Staging,
        on_problem: OnProblem,
        written: Written,
    ) -> None:
        self.size = file.seek(0, 2)
        file.seek(0)
        self.lines = Lines(file)
        self.report = ImportReport(dry_run=options.dry_run)
        self.check = Check(what, options, staging, is_csv=file_format is FileFormat.CSV)
        self.rows = self._rows_of(what, file_format)
        self._skips_bad_rows = options.skip_bad_rows
        self._on_problem, self._written = on_problem, written

    @property
    def is_refused(self) -> bool:
        return bool(self.report.bad) and not self._skips_bad_rows

    def _rows_of(self, what: Import, file_format: FileFormat) -> Rows:
        columns = columns_of(what)
        if file_format is FileFormat.JSONL:
            return json_rows(self.lines)
        header, rows = csv_rows(self.lines, columns.known)
        columns.check_header(header)
        return rows

    def note(self, row: Row) -> None:
        report = self.report
        report.rows += 1
        before = self._written[row.line]
        for name in (*row.set_by_shop, *(() if before == Written.NEW else row.new_only)):
            if name not in report.not_imported:
                report.not_imported.append(name)
        if before is not None:
            report.created += before == Written.NEW
            report.updated += before == Written.CHANGED
            return
        if row.problems:
            self._note_bad(row.problems)
            return
        report.stock_kept += row.keeps_stock
        if row.stored is None:
            report.created += 1
        elif row.is_changed:
            report.updated += 1
        else:
            report.unchanged += 1

    def note_lost(self, row: Staged, problem: RowProblem) -> None:
        """Of a row that was good until the whole file was known."""
        if row.row_id is None:
            self.report.created -= 1
        else:
            self.report.updated -= 1
        self._note_bad([problem])

    def _note_bad(self, problems: list[RowProblem]) -> None:
        self.report.bad += 1
        for problem in problems:
            if len(self.report.problems) < MAX_PROBLEMS:
                self.report.problems.append(problem)
            self._on_problem(problem)


def _bad_rows(report: ImportReport) -> BadRows:
    """The refusal that names the first mistakes."""
    places = [(each.place, each.message) for each in report.problems]
    are = "are" if report.bad > 1 else "is"
    return BadRows(f"{report.bad:,} of {report.rows:,} rows {are} wrong, and nothing was imported.", places)
