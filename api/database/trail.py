"""The audit trail of one transaction: its changes are collected, and written at its end, before it commits.

What goes through the session is seen by `auditing.py`, and an `Insertion` is recorded by `DriverConnection.insert`. A
`Statement` changes rows past both: call `record_change` with the values at hand.
"""

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlmodel import SQLModel, bindparam, insert
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.statements import Statement, numbered, numbered_values
from api.database.waiting import Waiting
from api.models.audit_entry import AuditAction, AuditEntry
from api.models.audited import writers
from api.models.base import utcnow
from api.models.columns import is_same

ENTRIES = SQLModel.metadata.tables[str(AuditEntry.__tablename__)]

OF_ROW = ("action", "entity", "row_id", "changes", "created_at")
"""The columns in which the entries of one transaction differ; the others have one parameter for all of them."""

TRAIL = "trail"
"""The key in a session's `info` of its trail."""

running_command: ContextVar[str | None] = ContextVar("running_command", default=None)
"""The command of `python -m api` that makes the changes."""


@dataclass
class Origin:
    """Who makes the changes of a transaction; a request fills in its user when it has found out."""

    user_id: int | None = None
    token_id: int | None = None
    request_id: str | None = None
    command: str | None = None

    @classmethod
    def of_command(cls) -> "Origin":
        return cls(command=running_command.get())


class Trail(Waiting):
    """The changes of one transaction that are not written yet."""

    table = ENTRIES

    def __init__(self, origin: Origin) -> None:
        super().__init__()
        self.origin = origin

    def created(self, table: str, row_id: int, values: Mapping[str, Any]) -> None:
        """Record a new row, with all its values."""
        changes = {name: write and [None, write(values[name])] for name, write in writers(table).items()}
        self.add(AuditAction.CREATED, table, row_id, changes)

    def deleted(self, table: str, row_id: int, values: Mapping[str, Any]) -> None:
        """Record a row that is gone, with all the values that it had."""
        changes = {name: write and [write(values[name]), None] for name, write in writers(table).items()}
        self.add(AuditAction.DELETED, table, row_id, changes)

    def changed(self, table: str, row_id: int, values: Mapping[str, tuple[Any, Any]]) -> None:
        """Record what columns had and have now; those that are not followed, or have the same value, are left out."""
        known, changes = writers(table), {}
        for name, (before, after) in values.items():
            if name in known and not is_same(before, after):
                write = known[name]
                changes[name] = write and [write(before), write(after)]
        if changes:
            self.add(AuditAction.CHANGED, table, row_id, changes)

    def add(self, action: AuditAction, table: str, row_id: int, changes: dict[str, Any]) -> None:
        self.wait(action=action, entity=table, row_id=row_id, changes=changes, created_at=utcnow())

    def shared(self) -> dict[str, Any]:
        return dict(vars(self.origin))

    def insertion(self, rows: Sequence[Mapping[str, Any]]) -> tuple[Statement, dict[str, Any]]:
        return insert_entries(len(rows)), numbered_values(rows) | self.shared()


@cache
def insert_entries(count: int) -> Statement:
    """Inserts so many entries of one transaction."""
    shared = {each.name: bindparam(each.name, type_=each.type) for each in ENTRIES.columns if each.name not in OF_ROW}
    del shared["id"]
    rows = [
        shared | {name: bindparam(numbered(name, row), type_=ENTRIES.c[name].type) for name in OF_ROW}
        for row in range(count)
    ]
    return Statement(insert(ENTRIES).values(rows))


def trail_of(session: Any) -> Trail:
    """The trail of a session, of either kind; one that no transaction opened belongs to the running command."""
    info: dict[Any, Any] = session.info
    if TRAIL not in info:
        info[TRAIL] = Trail(Origin.of_command())
    trail: Trail = info[TRAIL]
    return trail


def record_change(session: AsyncSession, model: type[SQLModel], row_id: int, **values: tuple[Any, Any]) -> None:
    """Record what a `Statement` changed of one row: what each column had, and has now."""
    trail_of(session).changed(str(model.__tablename__), row_id, values)
