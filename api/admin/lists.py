"""A list of rows: what is searched, filtered and sorted, one part after the other by a cursor, and never counted."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, false, union
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.admin.entities import Column, Entities, Entity, Kind
from api.admin.rows import Row, fetch, rows_of, select_rows, visible
from api.admin.windows import window_of
from api.models.order import stored_order_number
from api.models.product import stored_sku
from api.models.searchable import Searchable
from api.models.texts import composed
from api.models.types import MAX_ID
from api.models.user import Caller
from api.reads.keyset import Keyset, keyset
from api.web.search import MAX_SEARCH_LENGTH

PART = 50
"""Rows of one part."""

AS_STORED: dict[str, Callable[[str], str]] = {
    "order_number": stored_order_number,
    "sku": stored_sku,
    "username": str.lower,
    "email": str.lower,
}
"""How a text that names a row is stored, of one as a person types it; others are stored as they are typed."""

SEARCH, SORT, AFTER = "search", "sort", "after"
PERIOD = ("from", "to")


@dataclass
class ListQuery:
    """What a list is asked for, as it was typed, and what is wrong with it."""

    entity: Entity
    typed: dict[str, str]
    mistakes: dict[str, str] = field(default_factory=dict)
    conditions: list[ColumnElement[bool]] = field(default_factory=list)

    @property
    def sort(self) -> str:
        return self.typed.get(SORT) or next(iter(self.entity.sorts))

    @property
    def search(self) -> str:
        return self.typed.get(SEARCH, "")

    @property
    def walks(self) -> bool:
        """Whether the rows that it finds may be rare, and no index leads to them."""
        columns = [self.entity.column("created_at" if name in PERIOD else name) for name in self.filters]
        known = [each for each in columns if each is not None]
        is_led = self.search or any(each.kind is Kind.LINK for each in known)
        return not is_led and any(each.name not in self.entity.indexed for each in known)

    @property
    def filters(self) -> dict[str, str]:
        """What narrows the list, without where one is in it."""
        return {name: value for name, value in self.typed.items() if name not in (SORT, AFTER)}


def filters_of(entity: Entity) -> list[Column]:
    """The columns by which a list can be narrowed."""
    return [each for each in entity.columns if each.kind in (Kind.CHOICE, Kind.FLAG, Kind.LINK)]


def parse_query(entity: Entity, typed: Mapping[str, str]) -> ListQuery:
    """What the query of a URL asks for; what is left empty counts as absent."""
    query = ListQuery(entity, {name: value for name, value in typed.items() if value.strip()})
    known = {SEARCH, SORT, AFTER, *(each.name for each in filters_of(entity))}
    if entity.column("created_at"):
        known.update(PERIOD)
    for name, value in query.typed.items():
        try:
            if name not in known:
                raise ValueError("there is no such filter")
            query.conditions += _conditions(entity, name, value)
        except ValueError as error:
            query.mistakes[name] = str(error)
    return query


def _conditions(entity: Entity, name: str, value: str) -> Iterator[ColumnElement[bool]]:
    """
    Raises:
        ValueError: The value cannot be one of the filter.
    """
    column = entity.column(name)
    if name == SEARCH:
        if len(value) > MAX_SEARCH_LENGTH:
            raise ValueError(f"must have at most {MAX_SEARCH_LENGTH} characters")
        composed(value)
    elif name == SORT:
        if value not in entity.sorts:
            raise ValueError("is no order of this list")
    elif name in PERIOD:
        start = _day(value)
        created = entity.table.c.created_at
        yield created >= start if name == PERIOD[0] else created < start + timedelta(days=1)
    elif column is not None:
        yield _filter(entity, column, value)


def _filter(entity: Entity, column: Column, value: str) -> ColumnElement[bool]:
    stored = entity.table.c[column.name]
    if column.kind is Kind.LINK:
        if not re.fullmatch(r"[0-9]{1,19}", value) or not 0 < int(value) <= MAX_ID:
            raise ValueError("must be the id of a row")
        return stored == int(value)
    choices = ("true", "false") if column.kind is Kind.FLAG else column.choices
    if value not in choices:
        raise ValueError(f"must be {' or '.join(choices)}")
    return stored == (value == "true" if column.kind is Kind.FLAG else value)


def _day(value: str) -> datetime:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        raise ValueError("must be a day such as 2026-05-12")
    day = date.fromisoformat(value)
    if not 1900 <= day.year <= 9000:  # so that every database can hold it, and the day after it
        raise ValueError("must be a day such as 2026-05-12")
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def search_conditions(entities: Entities, entity: Entity, text: str) -> list[ColumnElement[bool]]:
    """The ways in which a row is found by a text. Each is read by an index of its own."""
    found = list(_own_conditions(entity, text))
    if not issubclass(entity.model, Searchable):
        for column in entity.columns:
            target = entities.of_table(column.target)
            parents = list(_own_conditions(target, text)) if target and target is not entity else []
            if target and parents:
                rows = union(*(select(col(target.model.id)).where(each) for each in parents)).subquery()
                found.append(entity.table.c[column.name].in_(select(rows.c.id)))
    return found


def _own_conditions(entity: Entity, text: str) -> Iterator[ColumnElement[bool]]:
    text = composed(text)
    if re.fullmatch(r"#?[0-9]{1,18}", text):
        yield col(entity.model.id) == int(text.removeprefix("#"))
    if issubclass(entity.model, Searchable):
        yield entity.model.matches(text)
        return
    for name in entity.unique_texts:
        yield entity.table.c[name] == AS_STORED.get(name, str)(text)


def order_of(query: ListQuery) -> Keyset:
    model: Any = query.entity.model
    return keyset(model, query.sort)


def _statement(entities: Entities, query: ListQuery, columns: list[Column], user: Caller, size: int) -> Any:
    """The part of the rows that a query asks for; with a search, all keys that are found come first, and of them the
    part: see `api/reads/searches.py`. The database then knows how few rows it has to read.
    """
    entity, order = query.entity, order_of(query)
    found = rows_of(entity).where(*visible(entity, user), *query.conditions)
    if not query.search:
        return _part(select_rows(entities, entity, columns, found), query, order, size)
    ways = search_conditions(entities, entity, query.search) or [false()]
    either: Any = union(*(_found_by(each, found, query, order, size) for each in ways))
    among = either.cte("found").prefix_with("MATERIALIZED", dialect="postgresql")
    part = _part(select(*among.c), query, order.among(among), size).subquery("part")
    rows = rows_of(entity).join(part, entity.table.c.id == part.c.id)
    return select_rows(entities, entity, columns, rows).order_by(*order.among(part).clauses)


def _found_by(way: ColumnElement[bool], found: Any, query: ListQuery, order: Keyset, size: int) -> Any:
    """The keys that one way finds; behind the first part as few as the next part needs of it.

    Who has come so far has found many rows, so that the database soon finds the next ones in order. It would find all
    of them again for each part of a long file.
    """
    keys = found.where(way).with_only_columns(*order.columns)
    if not query.typed.get(AFTER):
        return keys
    next_keys = _part(keys, query, order, size).subquery()  # SQLite has no LIMIT within a UNION
    return select(*next_keys.c)


def _part(statement: Any, query: ListQuery, order: Keyset, size: int) -> Any:
    """One more row tells whether there is a next part."""
    after = [order.after()] if query.typed.get(AFTER) else []
    return statement.where(*after).order_by(*order.clauses).limit(size + 1)


@dataclass(frozen=True)
class Part:
    """Some rows of a list, and where the next ones begin."""

    rows: list[Row]
    following: str | None
    is_window: bool = False
    """Whether it ends where so many rows were looked through."""


async def read_part(
    session: AsyncSession, entities: Entities, query: ListQuery, columns: list[Column], user: Caller, size: int
) -> Part:
    """The part of a list that a query asks for, in one statement, or in three at most where it looks through rows.

    Raises:
        Unprocessable: The cursor is none of this list.
    """
    order, cursor = order_of(query), query.typed.get(AFTER)
    values = order.parameters(cursor) if cursor else {}
    window = await window_of(session, order, values) if query.walks else None
    statement = _statement(entities, query, _with_sorted(query, columns), user, size)
    if window is not None:
        statement = statement.where(window.is_within())
    rows = await fetch(session, entities, query.entity, columns, statement, values)
    if len(rows) > size:
        return Part(rows[:size], order.cursor_at(_as_answered(rows[size - 1].values, order.name)))
    last = await window.following(session) if window is not None else None
    if last is None:
        return Part(rows, None)
    return Part(rows, order.cursor_at(_as_answered(last, order.name)), is_window=True)


def _with_sorted(query: ListQuery, columns: list[Column]) -> list[Column]:
    """With the column of the order, which the cursor is made of."""
    sorted_by = query.entity.column(query.sort.removeprefix("-"))
    return [*columns, *([sorted_by] if sorted_by and sorted_by not in columns else [])]


def _as_answered(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = values[name]
    return {"id": values["id"], name: value.isoformat() if isinstance(value, datetime) else value}
