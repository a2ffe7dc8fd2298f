"""Duplicates: which row of a request has a value that another row has already, and which row that is."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, inspect, tuple_
from sqlalchemy.exc import IntegrityError
from sqlmodel import SQLModel, UniqueConstraint, col, select, true
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.errors import already_exists, is_duplicate
from api.database.transactions import undo
from api.errors import Conflict
from api.models.base import noun_of


class Key(NamedTuple):
    """What may stand only once in a table: the values of one row in the columns of a unique constraint."""

    columns: tuple[str, ...]
    values: tuple[Any, ...]


async def flush_unique(
    session: AsyncSession,
    rows: Sequence[SQLModel],
    sent: Sequence[Any],
    *,
    in_list: bool = False,
    seen_by: ColumnElement[bool] | None = None,
) -> None:
    """Write new or changed rows of one table. The database refuses duplicates; here the other row is named.

    Args:
        session: That of the route.
        rows: The rows.
        sent: The body that each of them was made of. A slug that is not in it was generated, and is not explained.
        in_list: Whether the body is a list of these.
        seen_by: A condition on the rows that the caller may see; staff see all.

    Raises:
        Conflict: One of the rows has a value of another row.
    """
    keys = [list(_keys(row, data)) for row, data in zip(rows, sent, strict=True)]  # later, the rows are expired
    own_ids = [row_id for row in rows if (row_id := getattr(row, "id", None)) is not None]
    session.add_all(rows)
    try:
        await session.flush()
    except IntegrityError as error:
        if not is_duplicate(error):
            raise
        await undo(session)
        model = type(rows[0])
        visible = true() if seen_by is None else seen_by
        if refusal := await _explained(session, model, keys, col(_id(model)).not_in(own_ids), visible, in_list=in_list):
            raise refusal from error
        raise  # the other row is gone meanwhile, or it was a generated slug: the route is run again


def _keys(row: SQLModel, data: Any) -> Iterator[Key]:
    for names in unique_columns(type(row)):
        values = tuple(getattr(row, name) for name in names)
        generated = names == ("slug",) and getattr(data, "slug", None) is None
        if None not in values and not generated:
            yield Key(names, values)


@cache
def unique_columns(model: type[SQLModel]) -> list[tuple[str, ...]]:
    """The columns of each unique constraint of a table."""
    constraints = inspect(model).local_table.constraints
    unique = [each for each in constraints if isinstance(each, UniqueConstraint)]
    return sorted(tuple(column.name for column in each.columns) for each in unique)


async def _explained(
    session: AsyncSession,
    model: type[SQLModel],
    keys: Sequence[Sequence[Key]],
    others: ColumnElement[bool],
    visible: ColumnElement[bool],
    *,
    in_list: bool,
) -> Conflict | None:
    """The refusal of the first row that is a duplicate; `None` where there is none."""
    stored = await stored_keys(session, model, {key for each in keys for key in each}, others)
    shown = await _shown(session, model, list(stored.values()), visible)
    seen: dict[Key, str] = {}
    for index, of_row in enumerate(keys):
        for key in of_row:
            place = f"body.{index}.{key.columns[-1]}"
            prefix, sentence = f"{place}: " if in_list else "", already_exists(noun_of(model), key.columns)
            if key in seen:
                return Conflict(f"{prefix}{sentence} It is that of {seen[key]}.")
            if key in stored:
                return Conflict(f"{prefix}{sentence}{shown.get(stored[key], '')}")
            seen[key] = place
    return None


async def stored_keys(
    session: AsyncSession, model: type[SQLModel], keys: set[Key], others: ColumnElement[bool]
) -> dict[Key, int]:
    """The ids of the rows that have these keys."""
    found: dict[Key, int] = {}
    for names in {key.columns for key in keys}:
        columns = [getattr(model, name) for name in names]
        wanted = tuple_(*columns).in_([key.values for key in keys if key.columns == names])
        for row_id, *values in await session.exec(select(_id(model), *columns).where(wanted, others)):
            found[Key(names, tuple(values))] = row_id
    return found


async def _shown(
    session: AsyncSession, model: type[SQLModel], ids: Sequence[int], visible: ColumnElement[bool]
) -> dict[int, str]:
    """What a caller is told of the rows that they may see."""
    rows = (await session.exec(select(model).where(col(_id(model)).in_(ids), visible))).all()
    return {_id(row): f" It is {noun_of(model)} {_id(row)}{_state_of(row)}." for row in rows}


def _state_of(row: Any) -> str:
    """Why nobody else sees a row."""
    if getattr(row, "is_active", True) is False:
        return ", which is inactive"
    status = getattr(row, "status", "published")
    return "" if status == "published" else f", whose status is {status}"


def _id(of: Any) -> Any:
    return of.id
