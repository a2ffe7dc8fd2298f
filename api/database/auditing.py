"""What a write session changes, seen for the audit trail: flushes, and its UPDATEs and DELETEs of any rows.

Before a change the rows are locked and read, in ascending order of their ids. So an entry says what a row really had,
whatever the session had read before, and its entries follow without a gap. So do those of what a foreign key changes.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    Delete,
    Insert,
    Null,
    Table,
    Update,
    event,
    inspect,
    tuple_,
    type_coerce,
)
from sqlalchemy.orm import ORMExecuteState, Session
from sqlmodel import SQLModel, insert, literal, select, true

from api.database.endings import write_many_waiting, write_waiting
from api.database.mysql_plans import found_by_id
from api.database.sqlalchemy_internals import ConnectingSession, values_of
from api.database.trail import ENTRIES, trail_of
from api.errors import Unavailable
from api.models.audit_entry import INSERT_ONLY, AuditAction
from api.models.audited import audited_names, writers
from api.models.base import utcnow

MAX_NAMED = 1_000
"""Rows that one statement names by their keys, each of which is a parameter or two."""

READ = "read_before_flush"
"""The key in a session's `info` of what the rows of a flush had before it."""

Key = tuple[Any, ...]
Values = Sequence[Any]


def _key_columns(table: Table) -> list[Column[Any]]:
    return list(table.primary_key.columns)


def _is_one_of(table: Table, keys: Iterable[Key]) -> ColumnElement[bool]:
    first, *others = _key_columns(table)
    return tuple_(first, *others).in_(list(keys)) if others else first.in_([key[0] for key in keys])


def _locked(
    session: Session, table: Table, condition: Any, columns: Iterable[ColumnElement[Any]], *, deleting: bool = False
) -> Iterator[tuple[Key, Values]]:
    """The key of each row, and its columns."""
    keys = _key_columns(table)
    rows: Any = select(*keys, *columns).where(true() if condition is None else condition).order_by(*keys)
    for row in session.connection().execute(found_by_id(rows).with_for_update(key_share=not deleting)).all():
        yield tuple(row[: len(keys)]), row[len(keys) :]


def _parts(keys: Sequence[Key]) -> Iterator[Sequence[Key]]:
    return (keys[start : start + MAX_NAMED] for start in range(0, len(keys), MAX_NAMED))


# Flushes


@event.listens_for(ConnectingSession, "before_flush")
def _read_before_flush(session: Session, context: Any, instances: Any) -> None:
    edited: dict[Table, dict[Key, SQLModel]] = {}
    for row in session.dirty:
        state, table = inspect(row), _table_of(row)
        if any(state.attrs[name].history.has_changes() for name in audited_names(table)):
            edited.setdefault(table, {})[state.identity] = row
    read = session.info[READ] = []
    for table in (each for each in SQLModel.metadata.sorted_tables if each in edited):  # as the flush will
        rows, names = edited[table], sorted(audited_names(table))
        columns = [table.c[name] for name in names]
        for some in _parts(sorted(rows)):
            for key, before in _locked(session, table, _is_one_of(table, some), columns):
                read.append((table.name, key, rows[key], dict(zip(names, before, strict=True))))
    for row in session.deleted:
        _record_deletions(session, _table_of(row), _is_one_of(_table_of(row), [inspect(row).identity]))


@event.listens_for(ConnectingSession, "after_flush")
def _record_flush(session: Session, context: Any) -> None:
    trail = trail_of(session)
    for table_name, key, row, before in session.info.pop(READ):
        history = {name: inspect(row).attrs[name].history for name in before}
        changed = {name: (before[name], getattr(row, name)) for name in before if history[name].has_changes()}
        trail.changed(table_name, key[0], changed)
    for row in session.new:
        table = _table_of(row)
        if names := audited_names(table):
            key = getattr(row, _key_columns(table)[0].name)
            trail.created(table.name, key, {name: getattr(row, name) for name in names})
    write_many_waiting(session)


def _table_of(row: object) -> Table:
    table: Table = inspect(type(row)).local_table
    return table


# Statements


@event.listens_for(ConnectingSession, "do_orm_execute")
def _record_statement(state: ORMExecuteState) -> Any:
    """Returns the result of a statement that is recorded; `None` has the session run the statement itself."""
    statement = state.statement
    if state.is_select or not isinstance(statement, Insert | Update | Delete):
        return None
    changed: Any = statement.table  # of an ORM statement, a copy with notes
    table = SQLModel.metadata.tables[changed.name]
    if table is ENTRIES and not isinstance(statement, Insert):
        raise TypeError(INSERT_ONLY)
    if not audited_names(table):
        return None
    if isinstance(statement, Insert) or state.parameters:
        raise TypeError(f"{table.name} are audited: add rows to the session, and change them without parameters")
    state.session.flush()
    done = _update(state, table, statement) if isinstance(statement, Update) else _delete(state, table, statement)
    write_many_waiting(state.session)
    return done


def _update(state: ORMExecuteState, table: Table, statement: Update) -> Any:
    sets = values_of(statement)
    names = sorted(sets.keys() & audited_names(table))
    if not names:
        return None
    computed = [name for name in names if not isinstance(sets[name], BindParameter | Null)]
    after: list[Any] = [type_coerce(sets[name], table.c[name].type).label(f"{name}__after") for name in computed]
    columns = [*(table.c[name] for name in names), *after]
    rows = list(_locked(state.session, table, statement.whereclause, columns))
    result = _run(state, table, statement, [key for key, _ in rows])
    given = {name: getattr(sets[name], "effective_value", None) for name in names if name not in computed}
    trail = trail_of(state.session)
    for key, row in rows:
        known = given | dict(zip(computed, row[len(names) :], strict=True))
        before = zip(names, row, strict=False)
        trail.changed(table.name, key[0], {name: (value, known[name]) for name, value in before})
    return result


def _delete(state: ORMExecuteState, table: Table, statement: Delete) -> Any:
    keys = _record_deletions(state.session, table, statement.whereclause)
    return _run(state, table, statement, keys)


def _run(state: ORMExecuteState, table: Table, statement: Any, keys: Sequence[Key]) -> Any:
    """Run a statement on the rows that were read, and on no others.

    Raises:
        Unavailable: They are too many to be named, and another request changed what the statement finds.
    """
    named = len(keys) <= MAX_NAMED
    result: Any = state.invoke_statement(statement.where(_is_one_of(table, keys)) if named else statement)
    if not named and result.rowcount != len(keys):
        raise Unavailable("Another request is changing the same rows. Try again shortly.")
    return result


def _record_deletions(session: Session, table: Table, condition: Any) -> list[Key]:
    """Record rows that are about to be deleted, and what foreign keys do to others; returns the keys of the rows."""
    names = sorted(audited_names(table))
    rows = list(_locked(session, table, condition, [table.c[name] for name in names], deleting=True))
    keys = [key for key, _ in rows]
    for column in _references(table.name):
        for part in _parts(keys):
            some = [key[0] for key in part]
            if _ondelete(column) == "CASCADE":
                _record_deletions(session, column.table, column.in_(some))
            elif column.name in audited_names(column.table):
                _record_cleared(session, column, some)
    for key, row in rows if names else ():
        trail_of(session).deleted(table.name, key[0], dict(zip(names, row, strict=True)))
    return keys


@cache
def _references(table_name: str) -> list[Column[Any]]:
    """The foreign keys by which the database changes audited rows when a row of this table goes."""
    columns = (each for table in SQLModel.metadata.tables.values() for each in table.columns)
    to_this = (each for each in columns if any(key.column.table.name == table_name for key in each.foreign_keys))
    return [each for each in to_this if audited_names(each.table) and _ondelete(each) in ("CASCADE", "SET NULL")]


def _ondelete(column: Column[Any]) -> str | None:
    (key,) = column.foreign_keys
    return key.ondelete


def _record_cleared(session: Session, column: Column[Any], keys: Sequence[Any]) -> None:
    """Record rows that lose what they refer to. Of one row, such as a category, they may be any number."""
    table = column.table
    if len(keys) > 1:
        for key, (before,) in _locked(session, table, column.in_(keys), [column]):
            trail_of(session).changed(table.name, key[0], {column.name: (before, None)})
        return
    write_waiting(session)
    write, (row_id,) = writers(table.name)[column.name], _key_columns(table)
    changes = {column.name: write and [write(keys[0]), None]}
    values = {"action": AuditAction.CHANGED, "entity": table.name, "changes": changes, "created_at": utcnow()}
    values |= trail_of(session).shared()
    columns: list[Any] = [literal(value, ENTRIES.c[name].type).label(name) for name, value in values.items()]
    rows: Any = select(row_id.label("row_id"), *columns).where(column == keys[0]).order_by(row_id)
    entries = insert(ENTRIES).from_select(["row_id", *values], rows.with_for_update(key_share=True), False)
    session.connection().execute(entries)
