"""Changes to tables that are in use: each commits by itself, locks little, and can be run again after an interruption.

A table with few rows, as in a new database, is changed within the transaction of the command. So is every table of
SQLite, whose writers wait meanwhile.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import op

from api.database.search_texts import SearchTexts

FEW_ROWS = 1_000
"""Rows that are written and indexed in some 50 ms."""

READ_TIMES_AS_UTC = "SET LOCAL TIME ZONE 'UTC'"
"""For a transaction of PostgreSQL, which would take a time without an offset for one of its own time zone."""


def create_index(name: str, table: str, columns: Sequence[Any], **options: Any) -> None:
    """Create an index. PostgreSQL builds it beside the writers ("CONCURRENTLY"), which takes twice as long.

    An index that an interrupted build left invalid is built again.
    """
    with by_itself(table) as concurrently:
        if concurrently and not op.get_context().as_sql and _is_invalid(name):
            op.execute(f"DROP INDEX CONCURRENTLY {name}")
        if not _exists(name, table):
            op.create_index(name, table, columns, postgresql_concurrently=concurrently, **options)


def drop_index(name: str, table: str) -> None:
    """Drop an index, beside the writers too."""
    with by_itself(table) as concurrently:
        if op.get_context().as_sql or _exists(name, table):
            op.drop_index(name, table, postgresql_concurrently=concurrently)


def add_column(table: str, column: sa.Column[Any]) -> None:
    """Add a column that may be null or has a constant default: no row is written, whatever the size of the table."""
    with by_itself(table):
        if op.get_context().as_sql or column.name not in _columns(table):
            op.add_column(table, column)


def drop_column(table: str, name: str) -> None:
    """Drop a column, unless an interrupted run has done so."""
    if op.get_context().as_sql or name in _columns(table):
        op.drop_column(table, name)


def create_table(name: str, *columns: Any, **options: Any) -> None:
    """Create a table, unless an interrupted run has done so."""
    if op.get_context().as_sql or not _has_table(name):
        op.create_table(name, *columns, **options)


def drop_table(name: str) -> None:
    """Drop a table, unless an interrupted run has done so."""
    if op.get_context().as_sql or _has_table(name):
        op.drop_table(name)


def replace_check(name: str, table: sa.Table, condition: str) -> None:
    """Replace a CHECK by another one that holds for every row, in one statement, so that there is always one.

    SQLite copies the table, and MariaDB and MySQL do. `table` is what it was, which `--sql` cannot look at.
    """
    kind = op.get_context().dialect.name
    if kind == "sqlite":
        with op.batch_alter_table(table.name, copy_from=table) as batch_op:
            batch_op.drop_constraint(batch_op.f(name), type_="check")
            batch_op.create_check_constraint(batch_op.f(name), condition)
        return
    with by_itself(table.name):
        later = " NOT VALID" if kind == "postgresql" else ""  # or all writers wait until it has read the table
        change = f"DROP CONSTRAINT {name}, ADD CONSTRAINT {name} CHECK ({condition}){later}"
        op.execute(f"ALTER TABLE {table.name} {change}")
        if kind == "postgresql":
            op.execute(f"ALTER TABLE {table.name} VALIDATE CONSTRAINT {name}")


def fill_in_search_texts(table: str, searched: Sequence[str]) -> None:
    """Fill `search_text` in, in batches that commit. What `--sql` prints leaves it to the shop's next start."""
    if op.get_context().as_sql:
        return
    texts, last_id = SearchTexts(table, searched), 0
    with by_itself(table):
        while rows := op.get_bind().execute(texts.batch(last_id)).all():
            if (update := texts.update(rows)) is not None:
                op.get_bind().execute(update)
            last_id = rows[-1].id


@contextmanager
def by_itself(table: str) -> Iterator[bool]:
    """Outside of the command's transaction, where the table is large; says whether PostgreSQL has to be told."""
    context = op.get_context()
    if context.dialect.name == "sqlite" or not (context.as_sql or _is_large(table)):
        yield False
        return
    with context.autocommit_block():
        yield context.dialect.name == "postgresql"
    if context.dialect.name == "postgresql":
        op.execute(READ_TIMES_AS_UTC)  # in the transaction that began just now


def _is_large(table: str) -> bool:
    rows = sa.select(sa.literal(1)).select_from(sa.table(table))
    return op.get_bind().execute(rows.offset(FEW_ROWS).limit(1)).first() is not None


def _exists(name: str, table: str) -> bool:
    """Whether an index exists already: MySQL commits each, so an interrupted migration leaves some."""
    if op.get_context().as_sql:
        return False
    return name in {each["name"] for each in sa.inspect(op.get_bind()).get_indexes(table)}


def _has_table(name: str) -> bool:
    return sa.inspect(op.get_bind()).has_table(name)


def _columns(table: str) -> set[str]:
    return {each["name"] for each in sa.inspect(op.get_bind()).get_columns(table)}


def _is_invalid(name: str) -> bool:
    invalid = sa.text("SELECT count(*) FROM pg_index WHERE indexrelid = to_regclass(:name) AND NOT indisvalid")
    return bool(op.get_bind().execute(invalid, {"name": name}).scalar_one())
