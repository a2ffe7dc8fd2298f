"""The rows that a field of a form can name: offered where they are few, else looked for as a person types."""

import re
from collections.abc import Iterable, Iterator, Sequence

from sqlalchemy import ColumnElement, or_
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from api.admin.entities import Column, Entities, Entity
from api.admin.fields import Field, Input
from api.admin.forms import Form, rows_named
from api.admin.lists import AS_STORED, parse_query, read_part
from api.admin.rows import Row, fetch, select_rows, visible
from api.models.user import Caller

FEW = 100
"""Rows that a list to choose from has room for."""

MAX_FOUND = 10

NOT_FOUND = "is not found"


async def offer(session: AsyncSession, entities: Entities, form: Form, user: Caller) -> None:
    """Put into a form the rows that its fields offer, and what the rows are called that they name."""
    for each in {each.target.name: each.target for each in rows_named(form) if each.target is not None}.values():
        form.options[each.name] = await few_rows(session, entities, each, user)
    named = [each for each in rows_named(form) if each.target and re.fullmatch(r"[0-9]{1,18}", form.text(each.place))]
    for target, fields in _by_target(named):
        if not form.options[target.name]:
            ids = {int(form.text(each.place)) for each in fields}
            rows = await _rows_where(session, entities, target, col(target.model.id).in_(ids), user)
            labels = {str(each.id): each.label for each in rows}
            form.labels |= {each.place: labels.get(str(int(form.text(each.place))), "") for each in fields}


def _by_target(fields: Iterable[Field]) -> Iterator[tuple[Entity, list[Field]]]:
    """The fields that name rows of one entity, so that these are found together."""
    grouped: dict[str, list[Field]] = {}
    targets: dict[str, Entity] = {}
    for each in fields:
        if each.target is not None:
            targets[each.target.name] = each.target
            grouped.setdefault(each.target.name, []).append(each)
    return ((targets[name], found) for name, found in grouped.items())


async def _rows_where(
    session: AsyncSession,
    entities: Entities,
    entity: Entity,
    condition: ColumnElement[bool],
    user: Caller,
    columns: Sequence[Column] = (),
) -> list[Row]:
    statement = select_rows(entities, entity, list(columns)).where(condition, *visible(entity, user))
    return await fetch(session, entities, entity, list(columns), statement)


async def few_rows(session: AsyncSession, entities: Entities, entity: Entity, user: Caller) -> list[tuple[int, str]]:
    """All rows by their labels, or none where they are many. Costs one statement."""
    statement = select_rows(entities, entity, []).where(*visible(entity, user)).order_by(col(entity.model.id))
    rows = await fetch(session, entities, entity, [], statement.limit(FEW + 1))
    return sorted(((each.id, each.label) for each in rows), key=lambda each: each[1]) if len(rows) <= FEW else []


async def find(
    session: AsyncSession, entities: Entities, entity: Entity, text: str, user: Caller
) -> list[tuple[int, str]]:
    """Some rows that a text finds."""
    query = parse_query(entity, {"search": text})
    if query.mistakes:
        return []
    part = await read_part(session, entities, query, [], user, MAX_FOUND)
    return [(each.id, each.label) for each in part.rows]


async def resolve(session: AsyncSession, entities: Entities, form: Form, user: Caller) -> None:
    """Replace what was typed for a row, such as a name or a SKU, by the id of the one row that it names."""
    typed = {each.place: form.text(each.place).strip() for each in rows_named(form) if each.input is Input.ROW}
    for target, fields in _by_target(rows_named(form)):
        texts = {typed.get(each.place, "") for each in fields}
        unknown = {text for text in texts if text and not re.fullmatch(r"[0-9]+", text)}
        found = await _by_name(session, entities, target, unknown, user)
        for text in unknown - found.keys():
            found[text] = await find(session, entities, target, text, user)
        for each in fields:
            rows = found.get(typed.get(each.place, ""))
            if rows is not None and len(rows) == 1:
                form.texts[each.place] = str(rows[0][0])
            elif rows is not None:
                names = ", ".join(f"{label} ({row_id})" for row_id, label in rows)
                form.messages[each.place] = f"fits more than one: {names}. Type the id of one" if rows else NOT_FOUND


async def _by_name(
    session: AsyncSession, entities: Entities, entity: Entity, texts: set[str], user: Caller
) -> dict[str, list[tuple[int, str]]]:
    """The rows that go by these very texts, such as SKUs, although others have them in theirs."""
    columns = [each for each in entity.columns if each.name in entity.unique_texts]
    found: dict[str, list[tuple[int, str]]] = {}
    possible = [each for each in texts if "\0" not in each]
    if not columns or not possible:
        return found
    stored = {each.name: {AS_STORED.get(each.name, str)(text): text for text in possible} for each in columns}
    conditions = (entity.table.c[name].in_(names.keys()) for name, names in stored.items())
    for row in await _rows_where(session, entities, entity, or_(*conditions), user, columns):
        named = {stored[each.name].get(row.values[each.name]) for each in columns} - {None}
        for text in named:
            found.setdefault(str(text), []).append((row.id, row.label))
    return found
