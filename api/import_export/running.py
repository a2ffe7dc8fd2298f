"""An import from its file to its report: the check, then the writing.

    report = await import_file(database, "products", file, FileFormat.CSV, Options(), user_id=staff.id)

Without `skip_bad_rows` one wrong row refuses the file, and all is written in one transaction. With it, commands write
in short transactions, between which others have their turn; what was written stays if a later one fails, and the same
file may be imported again. Rows that refer to each other, as categories do, are always written in one transaction.
"""

import asyncio
from collections.abc import Callable
from typing import BinaryIO

from sqlalchemy.exc import SQLAlchemyError

from api.backoff import backoff
from api.database.errors import DATABASE_ERRORS, is_broken_connection, is_transient, needs_fresh_session
from api.database.sessions import Database
from api.import_export.imports import Import, ImportReport, Options, imports
from api.import_export.reading import CheckedFile, OnProblem, OnProgress, Written, check, tell_nobody
from api.import_export.writing import try_out, write, write_parts
from api.web.file_formats import FileFormat

ATTEMPTS = 6
"""Runs of an import that other writes come in the way of."""

FIRST_BACKOFF, LONGEST_BACKOFF = 0.4, 6.4
"""Seconds to wait at most before the second run, and before the last one."""


async def import_file(
    database: Database,
    name: str,
    file: BinaryIO,
    file_format: FileFormat,
    options: Options,
    *,
    user_id: int | None = None,
    on_progress: OnProgress = tell_nobody,
    on_problem: OnProblem = tell_nobody,
) -> ImportReport:
    """Import a file in transactions of its own; `user_id` is whoever imports.

    Raises:
        BrokenFile: The file cannot be read; nothing was imported.
        BadRows: Some rows are wrong; nothing was imported.
        Conflict: What the rows say together cannot be; nothing was imported.
        sqlalchemy.exc.DBAPIError: The database stays busy or unreachable.
    """
    writer = _Writer(database, imports()[name], options, user_id, on_progress)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with check(
                database, writer.what, file, file_format, options, on_progress, on_problem, writer.written
            ) as checked:
                await writer.write(checked)
                return checked.report
        except DATABASE_ERRORS as error:
            if attempt == ATTEMPTS or not _may_succeed_again(error):
                raise
            on_problem = tell_nobody  # it knows what is wrong already
            await asyncio.sleep(backoff(attempt, first=FIRST_BACKOFF, longest=LONGEST_BACKOFF))
    raise AssertionError("the last attempt returns or raises")


def _may_succeed_again(error: SQLAlchemyError) -> bool:
    return is_transient(error) or is_broken_connection(error) or needs_fresh_session(error)


class _Writer:
    """Writes what was checked, also where it has to be checked again."""

    def __init__(
        self, database: Database, what: Import, options: Options, user_id: int | None, on_progress: OnProgress
    ) -> None:
        self.what = what
        self._database, self._options, self._user_id, self._on_progress = database, options, user_id, on_progress
        self.written = Written()

    async def write(self, checked: CheckedFile) -> None:
        if self._options.dry_run:
            if self.what.finish is not None:
                await try_out(self._database, self.what, checked.staging, self._noting(checked))
        elif self._options.skip_bad_rows and self.what.finish is None:
            await self._write_in_parts(checked)
        else:
            async with self._database.transaction() as session:
                await write(session, self.what, checked.staging, self._user_id, self._noting(checked))

    async def _write_in_parts(self, checked: CheckedFile) -> None:
        note = self._noting(checked)
        for part in write_parts(self.what, checked.staging, self._user_id):
            async with self._database.transaction() as session:
                await part.write(session)
            self.written.note((each.line for each in part.rows), as_new=part.is_new)
            note(len(part.rows))

    def _noting(self, checked: CheckedFile) -> Callable[[int], None]:
        done, total = 0, checked.staging.count

        def note(rows: int) -> None:
            nonlocal done
            done += rows
            self._on_progress("writing", done, total)

        return note
