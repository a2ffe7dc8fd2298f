"""Rows as the pages show them: the columns of an entity, and what the rows that they refer to are called."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

from sqlalchemy import ColumnElement, Select
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from api.admin.entities import Column, Entities, Entity, Kind
from api.models.user import Caller

LABEL = "label"

TONES = {
    "pending": "waiting",
    "draft": "waiting",
    "confirmed": "going",
    "shipped": "going",
    "delivered": "done",
    "completed": "done",
    "published": "done",
    "sent": "done",
    "cancelled": "over",
    "refunded": "over",
    "failed": "over",
    "archived": "over",
}
"""The colour of a value of an enum, beside the word itself; others have none."""


@dataclass(frozen=True)
class Cell:
    """One value as a page shows it."""

    column: Column
    text: str
    href: str | None = None
    tone: str | None = None
    datetime: str | None = None


@dataclass(frozen=True)
class Row:
    """One row, with its cells in the order of the columns."""

    entity: Entity
    values: Mapping[str, Any]
    cells: Sequence[Cell]

    @property
    def id(self) -> int:
        row_id: int = self.values["id"]
        return row_id

    @property
    def label(self) -> str:
        return self.entity.label_of(self.id, self.values[LABEL])

    @property
    def short_label(self) -> str:
        """Where it is plain what kind of row it is."""
        return self.label if self.values[LABEL] else f"#{self.id}"

    @property
    def href(self) -> str:
        return f"/{self.entity.name}/{self.id}"


def visible(entity: Entity, user: Caller) -> list[ColumnElement[bool]]:
    """What of a table a staff user may see, as conditions: what the API would show, without those who are erased."""
    conditions = []
    if hasattr(entity.model, "visible_to"):
        conditions.append(entity.model.visible_to(user))
    if "erased_at" in entity.table.c:
        conditions.append(entity.table.c.erased_at.is_(None))
    return conditions


def select_rows(entities: Entities, entity: Entity, columns: Sequence[Column], statement: Any = None) -> Any:
    """The columns of an entity's rows, with the labels of the rows that they refer to, in one statement."""
    table = entity.table
    found: Any = rows_of(entity) if statement is None else statement
    selected = [table.c.id, *(table.c[each.name] for each in columns), label_in(entity, table).label(LABEL)]
    for column in columns:
        target = entities.of_table(column.target)
        if target is not None:
            other = target.table.alias(f"{column.name}_row")
            found = found.outerjoin(other, table.c[column.name] == other.c.id)
            selected.append(label_in(target, other).label(label_key(column)))
    return found.with_only_columns(*selected, maintain_column_froms=True)


def rows_of(entity: Entity) -> Any:
    """All rows of an entity; what is selected of them comes later."""
    rows: Any = Select(entity.model)
    return rows


def label_in(entity: Entity, rows: Any) -> Any:
    """The column that the rows of a table, or of an alias of it, go by."""
    return rows.c[entity.label] if entity.label else rows.c.id


def label_key(column: Column) -> str:
    return f"{column.name}__label"


async def fetch(
    session: AsyncSession,
    entities: Entities,
    entity: Entity,
    columns: Sequence[Column],
    statement: Any,
    values: Mapping[str, Any] | None = None,
) -> list[Row]:
    """The rows that a statement of `select_rows` finds."""
    found: Any = await session.exec(statement, params=dict(values or {}))
    rows = []
    for each in found.mappings().all():
        row = dict(each) if entity.label else {**each, LABEL: None}
        rows.append(Row(entity, row, [cell_of(entities, column, row) for column in columns]))
    return rows


async def fetch_one(session: AsyncSession, entities: Entities, entity: Entity, row_id: int, user: Caller) -> Row | None:
    """A row that a staff user may see, with all of its columns."""
    statement = select_rows(entities, entity, entity.columns).where(
        col(entity.model.id) == row_id, *visible(entity, user)
    )
    return next(iter(await fetch(session, entities, entity, entity.columns, statement)), None)


def cell_of(entities: Entities, column: Column, row: Mapping[str, Any]) -> Cell:
    value = row[column.name]
    if value is None:
        return Cell(column, "")
    if column.kind is Kind.LINK:
        target = entities.of_table(column.target)
        if target is None:
            return Cell(column, f"#{value}")
        label = row.get(label_key(column)) if target.label else None
        return Cell(column, target.label_of(value, label), href=f"/{target.name}/{value}")
    if column.kind is Kind.CHOICE:
        text = text_of(value)
        return Cell(column, text.replace("_", " "), tone=TONES.get(text, "plain"))
    if column.kind is Kind.FLAG:
        return Cell(column, "yes" if value else "no", tone="yes" if value else "no")
    if column.kind is Kind.TIME:
        return Cell(column, short_time(value), datetime=value.isoformat())
    return Cell(column, text_of(value))


def text_of(value: Any) -> str:
    """A value as a form and an export have it."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Enum():
            return str(value.value)
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case Decimal():
            return format(value, "f")
        case dict() | list():
            return json.dumps(value, ensure_ascii=False, indent=2) if value else "{}" if isinstance(value, dict) else ""
    return str(value)


def short_time(value: datetime) -> str:
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M}"
