"""What a request changed, found by comparing all rows before and after it, and what the audit trail says of it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Table
from sqlmodel import SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.audit_entry import AuditEntry
from api.models.audited import writers

Rows = dict[tuple[str, int], dict[str, Any]]
"""The followed columns of each row, as the trail would write them, by its table and id; `...` stands for what it would
not write, followed by the value."""

Changes = dict[tuple[str, int, str], Any]
"""What became of each field: from and to, or `None` where the trail does not say."""


def followed_tables() -> list[Table]:
    """Those whose rows have an id; the keys of the others change with the rows themselves."""
    return [each for each in SQLModel.metadata.sorted_tables if writers(each.name) and "id" in each.columns]


async def rows_now(session: AsyncSession) -> Rows:
    found: Rows = {}
    connection = await session.connection()
    for table in followed_tables():
        for row in (await connection.execute(table.select())).mappings():
            found[table.name, row["id"]] = {
                name: write(row[name]) if write else (..., row[name]) for name, write in writers(table.name).items()
            }
    return found


def difference(before: Rows, after: Rows) -> Changes:
    """What became of each field of each row; a row that is not there has no value in any field."""
    found: Changes = {}
    for key in before.keys() | after.keys():
        old, new = before.get(key, {}), after.get(key, {})
        for field in old.keys() | new.keys():
            change = [old.get(field), new.get(field)]
            if change[0] != change[1]:
                withheld = any(isinstance(each, tuple) for each in change)
                found[*key, field] = None if withheld else change
    return found


def told_by(entries: Sequence[AuditEntry]) -> Changes:
    """What entries, which follow each other, say together."""
    found: Changes = {}
    for entry in entries:
        for field, change in entry.changes.items():
            place = (entry.entity, entry.row_id, field)
            earlier = found.get(place)
            if change and earlier:
                assert change[0] == earlier[1], f"the entries of {place} do not follow each other: {earlier}, {change}"
                change = [earlier[0], change[1]]
            found[place] = change
    return {place: change for place, change in found.items() if change is None or change[0] != change[1]}


def differing(changed: Changes, told: Changes) -> list[str]:
    """What changed and is not told, or is told and did not change, in words.

    Of a row that comes or goes, an entry names also a field that the trail does not tell of and that has no value.
    """
    places = [each for each in sorted(changed.keys() | told.keys()) if each in changed or told[each] is not None]
    return [
        f"{place}: {changed.get(place, 'unchanged')}, and the trail says {told.get(place, 'nothing')}"
        for place in places
        if changed.get(place, ...) != told.get(place, ...)
    ]


def withheld_texts(*worlds: Rows) -> set[str]:
    """Every text of a row that the trail must not have; one that another row tells of itself is no secret."""
    values = [value for rows in worlds for row in rows.values() for value in row.values()]
    told = {value for value in values if isinstance(value, str)}
    withheld = (value[1] for value in values if isinstance(value, tuple))
    return {text for text in withheld if isinstance(text, str) and len(text) > 4} - told


async def entries_of_request(session: AsyncSession, request_id: str) -> list[AuditEntry]:
    of_request = select(AuditEntry).where(AuditEntry.request_id == request_id).order_by(col(AuditEntry.id))
    return list((await session.exec(of_request)).all())


def found_in(entries: Sequence[AuditEntry], texts: set[str]) -> Iterator[str]:
    written = json.dumps([_values(each.changes) for each in entries], ensure_ascii=False)
    return (text for text in sorted(texts) if json.dumps(text, ensure_ascii=False)[1:-1] in written)


def _values(changes: Mapping[str, Any]) -> list[Any]:
    """Without the names of the fields, one of which may be a word of a text."""
    return list(changes.values())
