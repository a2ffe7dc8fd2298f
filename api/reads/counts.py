"""How many rows a list has.

A table class may name the columns that it is `counted_by`. On PostgreSQL, where a count visits every row, triggers then
keep the number of rows for each combination of their values in a table of its own, `product_counts`: a list whose
filters are on these columns alone sums up a few of its rows. What else changes in a row, such as its stock, does not
touch that table. All other lists, and all lists of the other databases, are counted.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BinaryExpression,
    BindParameter,
    Column,
    ColumnElement,
    Dialect,
    FromClause,
    Select,
    TableClause,
    UnaryExpression,
)
from sqlalchemy.sql import operators
from sqlalchemy.sql.visitors import iterate, replacement_traverse
from sqlmodel import BigInteger, cast, column, func, literal_column, select, table

from api.models.base import noun_of
from api.reads.rows import model_of

NUMBER = "number"
"""The column that has the number of rows."""

EQUALITY = {operators.eq, operators.in_op}


def row_count(statement: Select[Any], dialect: Dialect) -> Select[Any]:
    """How many rows a statement finds."""
    counts = _counts_for(statement) if dialect.name == "postgresql" else None
    if counts is None:
        return statement.with_only_columns(func.count(), maintain_column_froms=True).order_by(None)
    total: Any = cast(func.coalesce(func.sum(counts.c[NUMBER]), literal_column("0")), BigInteger)
    return select(total).select_from(counts).where(*_conditions_on(counts, statement))


def counts_of(model: Any) -> TableClause | None:
    """The table of a table class's counts; a row without a value is counted under 0."""
    names = getattr(model, "counted_by", ())
    return table(f"{noun_of(model)}_counts", *map(column, names), column(NUMBER)) if names else None


def _counts_for(statement: Select[Any]) -> TableClause | None:
    """The counts that have every column of the filters of a statement."""
    model = model_of(statement)
    counts = counts_of(model)
    if counts is None or statement.get_final_froms() != [model.__table__]:
        return None
    filters = [] if statement.whereclause is None else list(iterate(statement.whereclause))
    columns = [each for each in filters if isinstance(each, Column) and each.table is model.__table__]
    is_countable = {each.name for each in columns} <= set(counts.c.keys()) and _leaves_out_null(filters, columns)
    return counts if is_countable else None


def _leaves_out_null(filters: Sequence[Any], columns: Sequence[Column[Any]]) -> bool:
    """Whether columns that may be null are only compared by `=` and `IN`: `<` would find the 0 that stands for null."""
    nullable = [each for each in columns if each.nullable]
    equal = [each for each in filters if isinstance(each, BinaryExpression) and each.operator in EQUALITY]
    compared = [each for each in equal if any(each.left is column for column in nullable)]
    return len(nullable) == len(compared) and not (nullable and _has_not(filters))


def _has_not(filters: Sequence[Any]) -> bool:
    return any(isinstance(each, UnaryExpression) and each.operator is operators.inv for each in filters)


def _conditions_on(counts: TableClause, statement: Select[Any]) -> list[ColumnElement[bool]]:
    """The filters of a statement, on the columns of the counts; values and subqueries stay as they are."""
    rows = model_of(statement).__table__

    def on_counts(element: object, **_: object) -> Any:
        if isinstance(element, Column) and element.table is rows:
            return counts.c[element.name]
        return element if isinstance(element, BindParameter | FromClause) else None

    return [] if statement.whereclause is None else [replacement_traverse(statement.whereclause, {}, on_counts)]
