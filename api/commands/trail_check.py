"""What `verify` proves of the audit trail: rows are what their last entries say, and entries follow each other.

One statement reads a table, so it sees one moment, and each row comes with its last entry. It is read in parts, so the
memory that it takes does not grow with the trail. Of secrets and personal values no entry tells, so they are not held
against the row; nor are the rows of tables whose key is made of two columns, such as `post_tags`.
"""

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel, and_, exists, not_, select

from api.database.trail import ENTRIES
from api.models.audit_entry import AuditAction
from api.models.audited import Write, writers

PROMISE = "a row is what its last audit entries say, and these follow each other"

PART = 1_000
"""Entries that are read at once."""


def checked_tables() -> list[Table]:
    return [each for each in SQLModel.metadata.sorted_tables if "id" in each.columns and writers(each.name)]


async def differences(connection: AsyncConnection) -> AsyncIterator[str]:
    """Each difference between the trail and the rows, in words."""
    for table in checked_tables():
        history: _History | None = None
        async with connection.stream(_entries_and_rows(table), execution_options={"yield_per": PART}) as found:
            async for row in found:
                entry = dict(row._mapping)
                if history is None or history.row_id != entry["row_id"]:
                    history = _History(table, entry["row_id"])
                for each in history.differences(entry):
                    yield each


def _entries_and_rows(table: Table) -> Any:
    """The entries of a table, those of one row after the other; the last one of each has the row beside it."""
    later = ENTRIES.alias("later")
    is_last: Any = not_(
        exists().where(later.c.entity == table.name, later.c.row_id == ENTRIES.c.row_id, later.c.id > ENTRIES.c.id)
    )
    columns: list[Any] = [ENTRIES.c.id, ENTRIES.c.row_id, ENTRIES.c.action, ENTRIES.c.changes]
    columns += [is_last.label("is_last"), table.c.id.label("present_id")]
    columns += [table.c[name].label(f"now_{name}") for name, write in writers(table.name).items() if write]
    joined = ENTRIES.outerjoin(table, and_(table.c.id == ENTRIES.c.row_id, is_last))
    of_table: Any = select(*columns).select_from(joined).where(ENTRIES.c.entity == table.name)
    return of_table.order_by(ENTRIES.c.row_id, ENTRIES.c.id)


class _History:
    """What the entries of one row said until now."""

    def __init__(self, table: Table, row_id: int) -> None:
        self.row_id = row_id
        self._name = f"{table.name} {row_id}"
        self._known = {name: write for name, write in writers(table.name).items() if write}
        self._values: dict[str, Any] = {}

    def differences(self, entry: Mapping[str, Any]) -> Iterator[str]:
        """How the next entry differs from those before it and, where it is the last one, from the row."""
        for field, change in entry["changes"].items():
            if change is None:
                continue
            before, after = change
            known = self._values.get(field, before)
            if before != known:
                yield f"{self._name}: {field} became {known!r}, and was {before!r} before entry {entry['id']}"
            self._values[field] = after
        if entry["is_last"]:
            yield from self._differences_now(entry)

    def _differences_now(self, entry: Mapping[str, Any]) -> Iterator[str]:
        is_there, is_deleted = entry["present_id"] is not None, entry["action"] == AuditAction.DELETED
        if is_there == is_deleted:
            state = "is there" if is_there else "is gone"
            yield f"{self._name} {state}, and its last entry {entry['id']} says that it was {entry['action']}"
        if is_there and not is_deleted:
            for field, value in self._values.items():
                write: Write | None = self._known.get(field)
                if write and (now := write(entry[f"now_{field}"])) != value:
                    yield f"{self._name}: {field} is {now!r}, and its last entry says {value!r}"
