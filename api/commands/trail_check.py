"""What `verify` proves of the audit trail: rows are what their last entries say, and entries follow each other.

One statement reads a table, so it sees one moment, and each row comes with its last entry. It is read in parts, so the
memory that it takes does not grow with the trail. Of secrets and personal values no entry tells, so they are not held
against the row; nor are the rows of tables whose key is made of two columns, such as `post_tags`.

What was changed behind the shop's back stays in the trail as a gap. `verify --accept` adds an entry of its own for each
such row, which says what the row is by now, and the gaps before it are named no more.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel, and_, exists, func, not_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.trail import ENTRIES, trail_of
from api.models.audit_entry import AuditAction
from api.models.audited import writers

PROMISE = "a row is what its last audit entries say, and these follow each other"

PART = 1_000
"""Entries that are read at once."""

ACCEPTED_BY = "verify"
"""The command whose entries accept what was changed before them."""


def checked_tables() -> list[Table]:
    return [each for each in SQLModel.metadata.sorted_tables if "id" in each.columns and writers(each.name)]


@dataclass
class Gap:
    """A row that the trail does not explain."""

    table: Table
    row_id: int
    last_entry: int = 0
    named: list[str] = field(default_factory=list)
    """What is not explained, in words."""
    action: AuditAction = AuditAction.CHANGED
    changes: dict[str, Any] = field(default_factory=dict)
    """What an entry would have to say of the row as it is now."""

    def name(self, what: str) -> None:
        self.named.append(f"{self.table.name} {self.row_id}{what}")


async def gaps(connection: AsyncConnection) -> AsyncIterator[Gap]:
    for table in checked_tables():
        history: _History | None = None
        async with connection.stream(_entries_and_rows(table), execution_options={"yield_per": PART}) as found:
            async for row in found:
                row_id, entry_id, command, changes, is_last = row[:5]
                if history is None or history.gap.row_id != row_id:
                    history = _History(Gap(table, row_id))
                history.read(entry_id, command, changes)
                if is_last:
                    history.compare(row._mapping)
                    if history.gap.named:
                        yield history.gap


def _entries_and_rows(table: Table) -> Any:
    """The entries of a table, those of one row after the other; the last one of each has the row beside it."""
    later = ENTRIES.alias("later")
    is_last: Any = not_(
        exists().where(later.c.entity == table.name, later.c.row_id == ENTRIES.c.row_id, later.c.id > ENTRIES.c.id)
    )
    columns: list[Any] = [ENTRIES.c[name] for name in ("row_id", "id", "command", "changes")]
    columns += [is_last.label("is_last"), ENTRIES.c.action, table.c.id.label("present_id")]
    columns += [table.c[name].label(f"now_{name}") for name, write in writers(table.name).items() if write]
    joined = ENTRIES.outerjoin(table, and_(table.c.id == ENTRIES.c.row_id, is_last))
    of_table: Any = select(*columns).select_from(joined).where(ENTRIES.c.entity == table.name)
    return of_table.order_by(ENTRIES.c.row_id, ENTRIES.c.id)


class _History:
    """What the entries of one row say, one after the other."""

    def __init__(self, gap: Gap) -> None:
        self.gap = gap
        self._values: dict[str, Any] = {}

    def read(self, entry_id: int, command: str | None, changes: Mapping[str, Any]) -> None:
        """Hold an entry against those before it."""
        if command == ACCEPTED_BY:
            self.gap.named.clear()
        for name, change in changes.items():
            if change is None:
                continue
            before, after = change
            known = self._values.get(name, before)
            if before != known:
                self.gap.name(f": {name} became {known!r}, and was {before!r} before entry {entry_id}")
            self._values[name] = after
        self.gap.last_entry = entry_id

    def compare(self, entry: Mapping[Any, Any]) -> None:
        """Hold the last entry against the row, which stands beside it."""
        gap, is_there, was_deleted = self.gap, entry["present_id"] is not None, entry["action"] == AuditAction.DELETED
        if is_there == was_deleted:
            gap.action = AuditAction.CREATED if is_there else AuditAction.DELETED
            state = "is there" if is_there else "is gone"
            gap.name(f" {state}, and its last entry {entry['id']} says that it was {entry['action']}")
        for name, value in self._values.items():
            write = writers(gap.table.name).get(name)
            now = write(entry[f"now_{name}"]) if write and is_there else None
            if write and now != value:
                gap.changes[name] = [value, now]
                if is_there and not was_deleted:
                    gap.name(f": {name} is {now!r}, and its last entry says {value!r}")


async def accept(session: AsyncSession, gap: Gap) -> bool:
    """Add the entry of a gap, unless the row has another one by now; the row is locked meanwhile."""
    await session.exec(select(gap.table.c.id).where(gap.table.c.id == gap.row_id).with_for_update())
    of_row = (ENTRIES.c.entity == gap.table.name, ENTRIES.c.row_id == gap.row_id)
    last = (await session.exec(select(func.max(ENTRIES.c.id)).where(*of_row))).one()
    if last == gap.last_entry:
        trail_of(session).add(gap.action, gap.table.name, gap.row_id, gap.changes)
    return bool(last == gap.last_entry)
