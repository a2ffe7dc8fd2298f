"""The rows that a field of a form can name: offered where they are few, else looked for as a person types."""

import re
from typing import Any

from sqlalchemy import Select
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from api.admin.entities import Entities, Entity
from api.admin.fields import Input
from api.admin.forms import Form, rows_named
from api.admin.lists import parse_query, read_part
from api.admin.rows import fetch, select_rows, visible
from api.models.user import Caller

FEW = 100
"""Rows that a list to choose from has room for."""

MAX_FOUND = 10


async def offer(session: AsyncSession, entities: Entities, form: Form, user: Caller) -> None:
    """Put into a form the rows that its fields offer, and what the rows are called that they name."""
    for each in {each.target.name: each.target for each in rows_named(form) if each.target is not None}.values():
        form.options[each.name] = await few_rows(session, entities, each, user)
    for field in rows_named(form):
        text = form.text(field.place)
        if field.target and not form.options[field.target.name] and re.fullmatch(r"[0-9]{1,18}", text):
            form.labels[field.place] = await _label(session, entities, field.target, int(text), user)


async def few_rows(session: AsyncSession, entities: Entities, entity: Entity, user: Caller) -> list[tuple[int, str]]:
    """All rows by their labels, or none where they are many. Costs one statement."""
    statement = select_rows(entities, entity, []).where(*visible(entity, user)).order_by(col(entity.model.id))
    rows = await fetch(session, entities, entity, [], statement.limit(FEW + 1))
    return sorted(((each.id, each.label) for each in rows), key=lambda each: each[1]) if len(rows) <= FEW else []


async def _label(session: AsyncSession, entities: Entities, entity: Entity, row_id: int, user: Caller) -> str:
    statement = select_rows(entities, entity, []).where(col(entity.model.id) == row_id, *visible(entity, user))
    rows = await fetch(session, entities, entity, [], statement)
    return rows[0].label if rows else ""


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
    for each in rows_named(form):
        text = form.text(each.place).strip()
        if each.target is None or each.input is not Input.ROW or not text or re.fullmatch(r"[0-9]+", text):
            continue
        found = await _by_name(session, entities, each.target, text, user) or await find(
            session, entities, each.target, text, user
        )
        if len(found) == 1:
            form.texts[each.place] = str(found[0][0])
            continue
        names = ", ".join(f"{label} ({row_id})" for row_id, label in found)
        form.messages[each.place] = f"fits more than one: {names}. Type the id of one" if found else "is not found"


async def _by_name(
    session: AsyncSession, entities: Entities, entity: Entity, text: str, user: Caller
) -> list[tuple[int, str]]:
    """The row that goes by this very text, although others have it in them."""
    names = [each for each in entity.unique_texts if each == entity.label]
    if not names or "\0" in text:
        return []
    statement: Select[Any] = select_rows(entities, entity, []).where(
        entity.table.c[names[0]] == text, *visible(entity, user)
    )
    rows = await fetch(session, entities, entity, [], statement)
    return [(each.id, each.label) for each in rows]
