"""What the audit trail keeps of each table, and how a value is written there.

Every column of every table is in the trail. A class leaves itself out by a reason, or some of its columns by a reason
each:

    not_audited: ClassVar[NotAudited] = "a row is never changed"
    not_audited: ClassVar[NotAudited] = {"view_count": "readers change it"}

Of a secret, and of what tells of a person, the trail says only that it changed: a field whose type has `SECRET` or
`PERSONAL`, and each text of a row that goes when its user is erased.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC
from functools import cache
from typing import Any

from sqlalchemy import JSON, Boolean, Column, Date, Table
from sqlalchemy.types import TypeEngine
from sqlmodel import SQLModel

from api.models.base import NotAudited, model_of_table
from api.models.columns import EnumValue, ScaledInteger, Timestamp, UnicodeString
from api.models.types import PERSONAL, SECRET

Write = Callable[[Any], Any]
"""Makes of a value what JSON can hold."""

LONGEST = 500
"""Characters of a text that is kept as it is; of a longer one its length and its hash are."""

USERS = "users"


def audited_names(table: Table) -> frozenset[str]:
    """The columns of a table that the trail follows; none, where the table is left out."""
    return _audited_names(table.name)


@cache
def _audited_names(table_name: str) -> frozenset[str]:
    table = SQLModel.metadata.tables[table_name]
    left_out: dict[str, str] = {}
    for each in _class_of(table).__mro__:
        reason: NotAudited = vars(each).get("not_audited", {})
        if isinstance(reason, str):
            return frozenset()
        left_out |= reason
    return frozenset(each.name for each in table.columns if each.name not in left_out and not _is_row_id(each))


def _class_of(table: Table) -> type[SQLModel]:
    found = model_of_table(table)
    if found is None:
        raise TypeError(f"{table.name} has no class, so nobody can say whether the audit trail follows it")
    return found


def _is_row_id(column: Column[Any]) -> bool:
    return column.primary_key and len(column.table.primary_key.columns) == 1


@cache
def writers(table_name: str) -> Mapping[str, Write | None]:
    """How each followed column of a table is written; `None` where only the fact of a change is."""
    table = SQLModel.metadata.tables[table_name]
    names = _audited_names(table_name)
    return {each.name: _writer(each) for each in table.columns if each.name in names}


def _writer(column: Column[Any]) -> Write | None:
    metadata = _class_of(column.table).model_fields[column.name].metadata
    if SECRET in metadata or PERSONAL in metadata:
        return None
    if isinstance(column.type, UnicodeString | JSON) and column.table in tables_of_people():
        return None
    write = _write_of(column.type)
    return lambda value: None if value is None else write(value)


def _write_of(kind: TypeEngine[Any]) -> Write:
    match kind:
        case ScaledInteger():
            return lambda value: format(value.quantize(kind.unit), "f")
        case EnumValue():
            return lambda value: kind.enum(value).value
        case Timestamp():
            return lambda value: value.astimezone(UTC).isoformat()
        case Date():
            return lambda value: value.isoformat()
        case Boolean():
            return bool
        case JSON():
            return _shortened_json
        case UnicodeString():
            return _shortened
    return int


def _shortened(text: str) -> Any:
    return text if len(text) <= LONGEST else _digest(text)


def _shortened_json(value: Any) -> Any:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return value if len(text) <= LONGEST else _digest(text)


def _digest(text: str) -> dict[str, Any]:
    return {"length": len(text), "sha256": hashlib.sha256(text.encode()).hexdigest()}


@cache
def tables_of_people() -> frozenset[Table]:
    """`users`, and all tables whose rows go with a user, or with such a row."""
    found = {SQLModel.metadata.tables[USERS]}
    while more := set(_going_with(found)) - found:
        found |= more
    return frozenset(found)


def _going_with(tables: set[Table]) -> Iterator[Table]:
    for table in SQLModel.metadata.tables.values():
        keys = table.foreign_keys
        if any(key.ondelete == "CASCADE" and key.column.table in tables for key in keys):
            yield table
