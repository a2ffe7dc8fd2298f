"""Lists of rows, their export, and the page of one row with everything that belongs to it."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import inspect as mapper_of
from sqlmodel import col
from starlette.responses import Response

from api.admin.actions import Action, actions_of, done_text
from api.admin.choices import few_rows
from api.admin.csv_export import csv_lines
from api.admin.entities import Column, Entity, Kind
from api.admin.lists import AFTER, PART, PERIOD, SEARCH, SORT, ListQuery, filters_of, parse_query, read_part
from api.admin.rows import Row, fetch, rows_of, select_rows, visible
from api.admin.tasks import action_place, entity_of, row_of
from api.admin.trail import changes_of
from api.admin.visits import HEADERS, Visit
from api.errors import Unprocessable
from api.web.downloads import file_response
from api.web.file_formats import FileFormat
from api.web.search import MAX_SEARCH_LENGTH

FEW_RELATED = 10
"""Rows of each kind that stand on the page of a row; a link leads to all of them."""

PARENTS = 100
"""The newest rows, such as the orders of a user, whose own parts are looked at, such as their lines."""


@dataclass(frozen=True)
class Filter:
    """A control above a list."""

    column: Column
    options: list[tuple[str, str]]


@dataclass(frozen=True)
class Section:
    """Rows that belong to a row."""

    title: str
    entity: Entity
    columns: list[Column]
    rows: list[Row]
    more: str | None
    actions: list[Action]


async def list_page(visit: Visit) -> Response:
    """Rows by the query of the URL, and what is wrong with that."""
    entity = entity_of(visit)
    typed = {name: text for name, text in visit.request.query_params.items() if name != "done"}
    query = parse_query(entity, typed)
    columns, session, part = list(entity.list_columns), await visit.session(), None
    filters = [each async for each in _filters(visit, entity)]
    if not query.mistakes:
        try:
            part = await read_part(session, visit.entities, query, columns, visit.staff, PART)
        except Unprocessable as error:
            query.mistakes[AFTER] = error.message
    return visit.page(
        "list.html",
        422 if query.mistakes else 200,
        entity=entity,
        query=query,
        columns=columns,
        part=part,
        filters=filters,
        chips=_chips(query, filters, part.rows if part else []),
        max_search_length=MAX_SEARCH_LENGTH,
        has_period=entity.column("created_at") is not None,
        done=done_text(entity.routes, visit.request.query_params.get("done")),
        names={"search": SEARCH, "sort": SORT, "after": AFTER, "from": PERIOD[0], "to": PERIOD[1]},
    )


async def _filters(visit: Visit, entity: Entity) -> AsyncIterator[Filter]:
    """A foreign key has a control where the API's own list can be narrowed by it, and its rows are few."""
    listed = entity.route("GET")
    for column in filters_of(entity):
        if column.kind is Kind.FLAG:
            yield Filter(column, [("true", "yes"), ("false", "no")])
        elif column.kind is Kind.CHOICE:
            yield Filter(column, [(each, each.replace("_", " ")) for each in column.choices])
        elif listed and column.name in listed.query:
            target = visit.entities.of_table(column.target)
            rows = await few_rows(await visit.session(), visit.entities, target, visit.staff) if target else []
            if rows:
                yield Filter(column, [(str(row_id), label) for row_id, label in rows])


def _chips(query: ListQuery, filters: list[Filter], rows: list[Row]) -> list[tuple[str, str, str]]:
    """What narrows the list and has no control of its own: the name, the label, and what it is narrowed to."""
    controlled = {each.column.name for each in filters} | {SEARCH, *PERIOD}
    found = []
    for name, value in query.filters.items():
        column = query.entity.column(name)
        if name not in controlled and column is not None:
            cells = (cell.text for row in rows for cell in row.cells if cell.column is column)
            found.append((name, column.label, next(cells, f"#{value}")))
    return found


async def export(visit: Visit) -> Response:
    """All rows that a list finds, as CSV."""
    entity = entity_of(visit)
    typed = {name: text for name, text in visit.request.query_params.items() if name != AFTER}
    query = parse_query(entity, typed)
    if query.mistakes:
        raise Unprocessable(*next(iter(query.mistakes.items())))
    await visit.release()
    lines = csv_lines(visit.request.app.state.database, visit.entities, query, visit.staff)
    response = await file_response(visit.request, lines, f"{entity.name}.csv", FileFormat.CSV.media_type)
    response.headers.update(HEADERS)
    return response


async def row_page(visit: Visit) -> Response:
    """A row, what can be done to it, and the rows that belong to it."""
    entity = entity_of(visit)
    row = await row_of(visit, entity)
    sections = [each async for each in _sections(visit, entity, row)]
    return visit.page(
        "row.html",
        entity=entity,
        row=row,
        facts=sorted(row.cells, key=lambda cell: cell.column.kind in (Kind.LONG_TEXT, Kind.DOCUMENT)),
        actions=[each for each in actions_of(visit.entities, entity) if each.variant.is_offered(row.values)],
        action_place=action_place,
        sections=[each for each in sections if each.rows],
        empty=[each.title.lower() for each in sections if not each.rows],
        changes=await changes_of(await visit.session(), visit.entities, row),
        done=done_text(entity.routes, visit.request.query_params.get("done")),
        key=visit.new_key(),
    )


async def _sections(visit: Visit, entity: Entity, row: Row) -> AsyncIterator[Section]:
    """One statement for each."""
    related = {each.mapper.local_table.name for each in mapper_of(entity.model).relationships}
    for other, column in sorted(visit.entities.referring_to(entity), key=lambda it: it[0].table.name not in related):
        owned = rows_of(other).where(other.table.c[column.name] == row.id)
        title = other.title if column.name.startswith(entity.noun.split()[-1]) else f"{other.title} ({column.label})"
        yield await _section(visit, title, other, owned, without=column, more=f"/{other.name}?{column.name}={row.id}")
        for part, link in _parts_of(visit, other):
            newest = rows_of(other).with_only_columns(other.table.c.id).where(other.table.c[column.name] == row.id)
            parents = newest.order_by(other.table.c.id.desc()).limit(PARENTS).subquery("parents")
            owned = rows_of(part).join(parents, part.table.c[link.name] == parents.c.id)
            yield await _section(visit, part.title, part, owned)
    for relationship in mapper_of(entity.model).relationships:
        target = visit.entities.of_table(relationship.mapper.local_table.name)
        if relationship.secondary is not None and target is not None:
            between = relationship.secondary
            ((_, near),) = relationship.synchronize_pairs
            ((_, far),) = relationship.secondary_synchronize_pairs
            linked = rows_of(target).join(between, far == target.table.c.id).where(near == row.id)
            yield await _section(visit, target.title, target, linked)


def _parts_of(visit: Visit, entity: Entity) -> Iterator[tuple[Entity, Column]]:
    """What belongs to the rows of an entity alone, such as the lines of orders and the refunds of payments."""
    for relationship in mapper_of(entity.model).relationships:
        part = visit.entities.of_table(relationship.mapper.local_table.name)
        if relationship.uselist and relationship.secondary is None and part is not None and not part.is_listed:
            link = next((each for each in part.columns if each.target == entity.table.name), None)
            if link is not None:
                yield part, link


async def _section(
    visit: Visit, title: str, entity: Entity, statement: Any, *, without: Column | None = None, more: str | None = None
) -> Section:
    actions = actions_of(visit.entities, entity)
    actions = actions if len(actions) == 1 else []  # more have room on the row's own page alone
    columns = [each for each in entity.list_columns if each is not without]
    selected = list(entity.columns) if actions else columns
    rows = select_rows(visit.entities, entity, selected, statement.where(*visible(entity, visit.staff)))
    rows = rows.order_by(col(entity.model.id).desc()).limit(FEW_RELATED + 1)
    found = await fetch(await visit.session(), visit.entities, entity, selected, rows)
    shown = [replace(each, cells=[cell for cell in each.cells if cell.column in columns]) for each in found]
    return Section(title, entity, columns, shown[:FEW_RELATED], more if len(found) > FEW_RELATED else None, actions)
