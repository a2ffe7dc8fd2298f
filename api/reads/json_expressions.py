"""The JSON of a row as one SQL expression, derived from its Read class.

A column becomes what pydantic would make of it: an amount the text "79.99", a time the text "2026-05-12T09:30:00Z". A
relationship becomes an object or a list of objects, from a subquery of its own, so the statement keeps the rows and the
order that its router gave it. `tests/reads/test_json.py` holds every Read class against pydantic.
"""

from collections.abc import Collection
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from sqlalchemy import BinaryExpression, Boolean, Column, ColumnElement, Dialect, FromClause, inspect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Mapper, RelationshipProperty
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.visitors import iterate
from sqlmodel import JSON, SQLModel, and_, func, select

from api.models.columns import Cents, Exact, Timestamp

AMOUNT, TIME, FLAG, DOCUMENT, TEXT_OR_NUMBER = "amount", "time", "flag", "document", "text or number"

VALUES = {
    "postgresql": {
        AMOUNT: "({0} * 0.01)::text",
        TIME: "replace(to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), '.000000Z', 'Z')",
        FLAG: "{0}",
        DOCUMENT: "{0}",
    },
    "mysql": {
        AMOUNT: "CAST({0} * 0.01 AS CHAR)",
        TIME: "REPLACE(DATE_FORMAT({0}, '%%Y-%%m-%%dT%%H:%%i:%%s.%%fZ'), '.000000Z', 'Z')",
        FLAG: "JSON_EXTRACT(CASE {0} WHEN 1 THEN 'true' WHEN 0 THEN 'false' END, '$')",
        DOCUMENT: "JSON_EXTRACT({0}, '$')",
    },
    "sqlite": {
        AMOUNT: "CASE WHEN {0} IS NOT NULL THEN"
        " printf('%s%d.%02d', iif({0} < 0, '-', ''), abs({0}) / 100, abs({0}) % 100) END",
        TIME: "replace(replace({0}, ' ', 'T') || 'Z', '.000000Z', 'Z')",
        FLAG: "json(CASE {0} WHEN 1 THEN 'true' WHEN 0 THEN 'false' END)",
        DOCUMENT: "json({0})",
    },
}
"""How each database writes a kind of value; text and whole numbers it writes as they are."""

EMBEDDED = {"postgresql": "{0}", "mysql": "JSON_EXTRACT({0}, '$')", "sqlite": "json({0})"}
"""How JSON from a subquery is marked as JSON, and not as text."""


def json_of_row(
    read: type[BaseModel], model: type[SQLModel], dialect: Dialect, without: Collection[str] = ()
) -> ColumnElement[Any]:
    """The JSON of a row of a table class, with the fields of a Read class.

    They have the order of the class, but not on MySQL, which sorts them.

    Raises:
        TypeError: A field is neither a column nor a relationship of the table class.
    """
    return _object_of(read, inspect(model), inspect(model).local_table, dialect, without)


class _Object(FunctionElement[Any]):
    """A JSON object of named values."""

    inherit_cache = False

    def __init__(self, names: list[str], values: list[ColumnElement[Any]]) -> None:
        super().__init__(*values)
        self.names = names


class _Value(FunctionElement[Any]):
    """A column as a value of an object."""

    inherit_cache = False

    def __init__(self, template: str, value: Any) -> None:
        super().__init__(value)
        self.template = template


class _List(FunctionElement[Any]):
    """The objects of many rows as one list, in the order of some columns."""

    inherit_cache = False

    def __init__(self, each: ColumnElement[Any], *order: ColumnElement[Any]) -> None:
        super().__init__(each, *order)


@compiles(_Object)
def _write_object(element: _Object, compiler: SQLCompiler, **options: Any) -> str:
    values = [compiler.process(each, **options) for each in element.clauses]
    pairs = ", ".join(f"'{name}', {value}" for name, value in zip(element.names, values, strict=True))
    return f"json_object({pairs})"


@compiles(_Object, "postgresql")
def _write_row(element: _Object, compiler: SQLCompiler, **options: Any) -> str:
    """A row has no limit of a hundred arguments, and is a tenth faster."""
    values = [compiler.process(each, **options) for each in element.clauses]
    columns = ", ".join(f'{value} AS "{name}"' for name, value in zip(element.names, values, strict=True))
    return f"(SELECT row_to_json(r) FROM (SELECT {columns}) r)"  # noqa: S608 - made of compiled expressions


@compiles(_Value)
def _write_value(element: _Value, compiler: SQLCompiler, **options: Any) -> str:
    return element.template.format(compiler.process(element.clauses, **options))


@compiles(_List)
def _write_list(element: _List, compiler: SQLCompiler, **options: Any) -> str:
    each, *order = (compiler.process(part, **options) for part in element.clauses)
    return f"coalesce(json_agg({each} ORDER BY {', '.join(order)}), '[]')"


@compiles(_List, "mysql")
@compiles(_List, "mariadb")
def _concatenate_list(element: _List, compiler: SQLCompiler, **options: Any) -> str:
    """MySQL's own JSON_ARRAYAGG has no order."""
    each, *order = (compiler.process(part, **options) for part in element.clauses)
    return f"CONCAT('[', COALESCE(GROUP_CONCAT({each} ORDER BY {', '.join(order)} SEPARATOR ','), ''), ']')"


def _object_of(
    read: type[BaseModel],
    mapper: Mapper[Any],
    rows: FromClause,
    dialect: Dialect,
    without: Collection[str] = (),
) -> ColumnElement[Any]:
    fields = {name: field for name, field in read.model_fields.items() if name not in without}
    values: list[ColumnElement[Any]] = []
    for name, field in fields.items():
        if name in mapper.columns:
            values.append(_value_of(rows.c[mapper.columns[name].name], dialect))
        elif name in mapper.relationships:
            values.append(_related_json(field.annotation, mapper.relationships[name], rows, dialect))
        else:
            raise TypeError(f"{read.__name__}.{name} is no column and no relationship of {mapper.class_.__name__}")
    return _Object(list(fields), values)


def _value_of(column: ColumnElement[Any], dialect: Dialect) -> ColumnElement[Any]:
    if isinstance(column.type, Exact):
        return _Value(_exact(column.type.scale, dialect), column)
    kinds: dict[type, str] = {Cents: AMOUNT, Timestamp: TIME, Boolean: FLAG, JSON: DOCUMENT}
    kind = next((kinds[each] for each in kinds if isinstance(column.type, each)), TEXT_OR_NUMBER)
    return _Value(VALUES[dialect.name].get(kind, "{0}"), column)


def _exact(scale: int, dialect: Dialect) -> str:
    """How a database writes a decimal with so many places, as text."""
    if dialect.name == "sqlite" and scale:
        unit = 10**scale
        parts = f"iif({{0}} < 0, '-', ''), abs({{0}}) / {unit}, abs({{0}}) % {unit}"
        return f"CASE WHEN {{0}} IS NOT NULL THEN printf('%s%d.%0{scale}d', {parts}) END"
    factor = f"{10**-scale:.{scale}f}"
    return {
        "postgresql": f"({{0}} * {factor})::text",
        "mysql": f"CAST({{0}} * {factor} AS CHAR)",
        "sqlite": "CAST({0} AS TEXT)",
    }[dialect.name]


def _related_json(
    annotation: Any, relationship: RelationshipProperty[Any], rows: FromClause, dialect: Dialect
) -> ColumnElement[Any]:
    """The JSON of the row, or the rows, that a relationship leads to."""
    target = relationship.mapper.local_table.alias()
    each = _object_of(read_class_in(annotation), relationship.mapper, target, dialect)
    found: Any = select(each).select_from(target).where(_joined(relationship, rows, target)).correlate(rows)
    if relationship.uselist:
        order = [target.c[column.name] for column in _order_of(relationship)]
        if dialect.name == "sqlite":  # its aggregates have an order since 3.44; until then they keep that of their rows
            ordered = select(each.label("each")).select_from(target).where(_joined(relationship, rows, target))
            listed = ordered.order_by(*order).correlate(rows).subquery()
            found = select(func.json_group_array(func.json(listed.c.each)))
        else:
            found = found.with_only_columns(_List(each, *order))
    return _Value(EMBEDDED[dialect.name], found.scalar_subquery())


def _joined(relationship: RelationshipProperty[Any], rows: FromClause, target: FromClause) -> ColumnElement[bool]:
    """The condition that links both sides, also through a table between them.

    Raises:
        TypeError: The relationship has another condition, which would be left out.
    """
    comparisons = [each for each in iterate(relationship.primaryjoin) if isinstance(each, BinaryExpression)]
    if len(comparisons) != len(relationship.synchronize_pairs):
        raise TypeError(f"{relationship} has a condition beside its foreign key: {relationship.primaryjoin}")
    if relationship.secondary is None:
        pairs = relationship.local_remote_pairs or []
        return and_(*(rows.c[local.name] == target.c[remote.name] for local, remote in pairs))
    near = (rows.c[local.name] == link for local, link in relationship.synchronize_pairs)
    far = (target.c[remote.name] == link for remote, link in relationship.secondary_synchronize_pairs or ())
    return and_(*near, *far)


def _order_of(relationship: RelationshipProperty[Any]) -> list[Column[Any]]:
    declared: list[Any] = list(relationship.order_by or relationship.mapper.primary_key)
    if not all(isinstance(each, Column) for each in declared):
        raise TypeError(f"{relationship} is ordered by more than columns: {declared}")
    return declared


def read_class_in(annotation: Any) -> type[BaseModel]:
    """`OrderItemRead` of `list[OrderItemRead]`, and `CategoryRead` of `CategoryRead | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) is None:
        raise TypeError(f"{annotation} has no Read class")
    return next(read_class_in(each) for each in get_args(annotation) if each is not type(None))
