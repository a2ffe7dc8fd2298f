"""How MariaDB and MySQL find the rows that a statement names by their ids: by the primary key, and no others.

They would rather read all rows of a small table, or go by another index, and lock each row that they come by, if for a
moment only. Where another transaction holds that row and waits for one of ours, the moment is a deadlock. A DELETE
takes no such hint.

Source: MariaDB Knowledge Base, "FORCE INDEX"; MySQL manual, "Transaction Isolation Levels", on semi-consistent reads.
"""

from typing import Any, TypeVar, cast

from sqlalchemy import BinaryExpression, BooleanClauseList, ClauseElement, Table, Update
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import operators
from sqlalchemy.sql.compiler import SQLCompiler

S = TypeVar("S")

BY_PRIMARY_KEY = "FORCE INDEX (PRIMARY)"


def found_by_id(statement: S) -> S:
    """A SELECT that locks rows of one table. An UPDATE needs no such call."""
    rows: Any = statement
    (table,) = rows.get_final_froms()
    return (
        cast(S, rows.with_hint(table, BY_PRIMARY_KEY, "mysql")) if _names_rows(rows.whereclause, table) else statement
    )


@compiles(Update, "mysql")
def _update(update: Update, compiler: SQLCompiler, **options: Any) -> str:
    if isinstance(update.table, Table) and _names_rows(update.whereclause, update.table):
        update = update.with_hint(BY_PRIMARY_KEY)
    return compiler.visit_update(update, **options)


def _names_rows(where: ClauseElement | None, table: Table) -> bool:
    """Whether a condition gives the values of the primary key."""
    conditions = where.clauses if isinstance(where, BooleanClauseList) and where.operator is operators.and_ else [where]
    given = {
        getattr(each.left, "name", None)
        for each in conditions
        if isinstance(each, BinaryExpression) and each.operator in (operators.eq, operators.in_op)
    }
    return given >= set(table.primary_key.columns.keys())
