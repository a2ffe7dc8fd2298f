"""Duplicates in a file: what another row of the shop, or of the file, has already."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlmodel import SQLModel, true
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.errors import already_exists
from api.import_export.rows import Row
from api.import_export.staging import Staging
from api.models.base import noun_of
from api.rules.unique_values import Key, stored_keys, unique_columns


async def refuse_duplicates(
    session: AsyncSession, model: type[SQLModel], staging: Staging, rows: Sequence[Row]
) -> None:
    """Refuse duplicates among rows in which nothing else is wrong. Only what stays good claims its values."""
    keys = {row.line: list(_unique_keys(model, row)) for row in rows}
    new = {key for row in rows for key in keys[row.line] if row.stored is None or _touches(row, key)}
    stored = await stored_keys(session, model, new, true()) if new else {}
    noun = noun_of(model)
    for row in rows:
        own_id = None if row.stored is None else row.stored.id
        for key in keys[row.line]:
            if stored.get(key, own_id) != own_id:
                row.refuse(key.columns[-1], f"{already_exists(noun, key.columns)} It is {noun} {stored[key]}.")
            elif (line := staging.line_of(key.columns, key.values)) is not None:
                row.refuse(key.columns[-1], f"stands in line {line} already")
        if not row.problems:
            staging.claim(row.line, keys[row.line])


def _unique_keys(model: type[SQLModel], row: Row) -> Iterator[Key]:
    for names in unique_columns(model):
        values = tuple(_value(row, name) for name in names)
        if None not in values:
            yield Key(names, values)


def _value(row: Row, name: str) -> Any:
    if row.stored is None:
        return getattr(row.data, name)
    return row.changes.get(name, getattr(row.stored, name))


def _touches(row: Row, key: Key) -> bool:
    return any(name in row.changes for name in key.columns)
