"""Writing the rows that were checked, in parts, within the transaction of a session.

New rows come first, because nobody waits for those. The rows that change are then locked in ascending order of their
ids, as orders lock products, and stay locked for as long as the rest takes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm.exc import StaleDataError
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.mysql_plans import found_by_id
from api.database.sessions import Database
from api.database.transactions import undo
from api.errors import Conflict, Unprocessable
from api.import_export.imports import Import
from api.import_export.reading import tell_nobody
from api.import_export.staging import Staged, Staging
from api.rules import stock

ROWS_AT_A_TIME = 200
"""Rows of one statement: some 20 ms in which no other request is answered."""

NOTE = "Import"
"""Of the stock movements of an import."""


OnRows = Callable[[int], None]
"""Is told how many rows were written."""


async def write(
    session: AsyncSession, what: Import, staging: Staging, user_id: int | None, on_rows: OnRows = tell_nobody
) -> None:
    """Write all rows that were staged, in one transaction.

    Raises:
        StaleDataError: The shop is no longer what it was when the rows were checked: check them again.
        Conflict: What the rows say together cannot be, such as a circle of categories.
    """
    if what.lock is not None:
        await what.lock(session)
    for part in write_parts(what, staging, user_id):
        await part.write(session)
        on_rows(len(part.rows))
    if what.finish is not None:
        await what.finish(session, staging)


async def try_out(database: Database, what: Import, staging: Staging, on_rows: OnRows = tell_nobody) -> None:
    """Write all rows, and undo it: only so is it known whether rows that refer to each other fit together.

    It has a transaction of its own. In a savepoint, the entries of the audit trail would wait in memory for its end.

    Raises:
        StaleDataError, Conflict: As above.
    """
    async with database.transaction() as session:
        await write(session, what, staging, None, on_rows)
        await undo(session)


def write_parts(what: Import, staging: Staging, user_id: int | None) -> Iterator["Part"]:
    """All rows in parts, in the order in which they are to be written."""
    for rows in staging.new(ROWS_AT_A_TIME):
        yield Part(what, rows, user_id, staging, is_new=True)
    for rows in staging.changed(ROWS_AT_A_TIME):
        yield Part(what, rows, user_id, staging, is_new=False)


@dataclass(frozen=True)
class Part:
    """Some rows, all of them new or none."""

    what: Import
    rows: Sequence[Staged]
    user_id: int | None
    staging: Staging
    is_new: bool

    async def write(self, session: AsyncSession) -> None:
        """
        Raises:
            StaleDataError: The shop is no longer what it was when the rows were checked.
        """
        try:
            await (self._add(session) if self.is_new else self._change(session))
        except (Conflict, Unprocessable, IntegrityError) as error:
            raise _stale() from error
        session.expunge_all()

    async def _add(self, session: AsyncSession) -> None:
        await self.what.add(session, [each.values for each in self.rows], self.user_id, self.staging)

    async def _change(self, session: AsyncSession) -> None:
        model: Any = self.what.model
        ids = [each.row_id for each in self.rows]
        named = select(model).where(col(model.id).in_(ids)).order_by(col(model.id))
        locked = found_by_id(named).with_for_update()
        found = {each.id: each for each in await session.exec(locked)}
        counted: dict[int, tuple[int, int]] = {}
        for each in self.rows:
            row = found.get(each.row_id)
            if row is None or getattr(row, "erased_at", None) is not None:
                raise _stale()
            values = {name: value for name, value in each.values.items() if name not in self.what.finished}
            wanted = values.pop(self.what.stock, None) if self.what.stock else None
            if wanted is not None and wanted != row.stock_quantity:
                counted[row.id] = (row.stock_quantity, wanted)
            row.sqlmodel_update(values)
        await session.flush()
        if counted:
            await stock.set_counted(session, counted, user_id=self.user_id, note=NOTE)


def _stale() -> StaleDataError:
    """To `api/web/transactions.py` and `running.py` this means: run all of it again."""
    return StaleDataError("The shop changed between the check and the writing.")
