"""Lists in pages: by number, with totals, or by cursor, at a cost that does not grow with the depth.

`?page=3&page_size=20` counts and skips. `?cursor=` (empty to begin with, then each answer's `next_cursor`) continues
after the last row seen ("keyset pagination"), so nothing is skipped or shown twice while rows come and go.
"""

import base64
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, Query
from pydantic import BaseModel, Field, TypeAdapter
from sqlalchemy import ColumnElement
from sqlalchemy.orm import InstrumentedAttribute
from sqlmodel import and_, col, func, or_
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

from api.errors import Unprocessable
from api.models.money import Amount
from api.models.types import MAX_ID, StoredInteger, without_nul

T = TypeVar("T")
Row = TypeVar("Row", bound=Any)

MAX_PAGE = 1_000_000
"""So that the rows to skip still fit into 64 bits; long before that a cursor is faster."""

MAX_PAGE_SIZE = 100
"""Rows: the longest answer, of whole products, stays below a megabyte."""

MAX_CURSOR_LENGTH = 2_000
"""Characters: the longest column that lists are sorted by is a name of 200 characters, four bytes each in base64."""


class Page(BaseModel, Generic[T]):
    """One page of a list, and its place in the list. A page beyond the end is empty."""

    items: Sequence[T]
    total: int = Field(description="Number of rows in the whole list.", examples=[57])
    page: int = Field(examples=[1])
    page_size: int = Field(examples=[20])
    total_pages: int = Field(examples=[3])
    has_next: bool = Field(examples=[True])
    has_previous: bool = Field(examples=[False])


class CursorPage(BaseModel, Generic[T]):
    """The next rows of a list; `next_cursor` is null at its end."""

    items: Sequence[T]
    next_cursor: str | None = Field(examples=["WyJpZCIsIDIwXQ"])


class Paging(BaseModel):
    """The part of a list that is asked for."""

    page: int
    page_size: int
    cursor: str | None


def _paging(
    page: Annotated[int, Query(ge=1, le=MAX_PAGE, description="Counted from 1.")] = 1,
    page_size: Annotated[int, Query(ge=1, le=MAX_PAGE_SIZE, description="Rows per page.")] = 20,
    cursor: Annotated[
        str | None,
        Query(
            max_length=MAX_CURSOR_LENGTH,
            description="Use it instead of `page`: empty for the first page, then the last answer's `next_cursor`.",
            json_schema_extra={"pattern": "^[A-Za-z0-9_-]*$"},
        ),
    ] = None,
) -> Paging:
    return Paging(page=page, page_size=page_size, cursor=cursor)


PagingParams = Annotated[Paging, Depends(_paging)]


async def paginate(
    session: AsyncSession,
    statement: SelectOfScalar[Row],
    paging: Paging,
    *,
    model: type[Any],
    sort: str = "-id",
) -> Page[Any] | CursorPage[Any]:
    """The part of a list that is asked for, in a total order.

    Args:
        session: A read session.
        statement: A select of `model` with its filters and loading options, and without an order.
        paging: The part that the client asks for.
        model: The table class whose column `sort` names.
        sort: A column that is never null; a minus reverses. Equal values are told apart by id.

    Raises:
        Unprocessable: The cursor is not one of this list.
    """
    order = _Order(model, sort)
    ordered = statement.order_by(*order.clauses)
    if paging.cursor is not None:
        return await _after_cursor(session, ordered, paging, order)
    # The rows alone are counted, without the joins and columns that only serve the answer.
    count = statement.with_only_columns(func.count(), maintain_column_froms=True).order_by(None)
    total = await session.scalar(count) or 0
    rows = await session.exec(ordered.limit(paging.page_size).offset((paging.page - 1) * paging.page_size))
    pages = -(-total // paging.page_size)
    return Page(
        items=rows.unique().all(),
        total=total,
        page=paging.page,
        page_size=paging.page_size,
        total_pages=pages,
        has_next=paging.page < pages,
        has_previous=paging.page > 1,
    )


class _Order:
    """A column and the id, in one direction."""

    def __init__(self, model: type[Any], sort: str) -> None:
        self.sort = sort
        self.name = sort.removeprefix("-")
        self.descending = sort.startswith("-")
        self.column: InstrumentedAttribute[Any] = getattr(model, self.name)
        self.id = col(model.id)
        columns: list[Any] = [self.id] if self.name == "id" else [self.column, self.id]
        self.clauses = [each.desc() if self.descending else each.asc() for each in columns]

    def after(self, value: Any, row_id: int) -> ColumnElement[bool]:
        """The rows after one, as a range of the index and a remainder: no database reads an OR alone as a range,
        and MySQL does not read a comparison of rows as one.
        """
        beyond_id = self.id < row_id if self.descending else self.id > row_id
        if self.name == "id":
            return beyond_id
        if self.descending:
            return and_(self.column <= value, or_(self.column < value, beyond_id))
        return and_(self.column >= value, or_(self.column > value, beyond_id))

    def cursor(self, row: Any) -> str:
        values = [self.sort, row.id, None if self.name == "id" else str(getattr(row, self.name))]
        return base64.urlsafe_b64encode(json.dumps(values, ensure_ascii=False).encode()).decode().rstrip("=")

    def read(self, cursor: str) -> tuple[Any, int]:
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            sort, row_id, text = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
            if sort != self.sort or type(row_id) is not int or not 0 < row_id <= MAX_ID:
                raise ValueError
            if (text is None) != (self.name == "id") or not isinstance(text, str | None):
                raise ValueError
            return _parse(self.column.type.python_type, text) if text is not None else None, row_id
        except (ValueError, TypeError, ArithmeticError, RecursionError):
            raise Unprocessable("query.cursor", "is not a cursor that this list returned") from None


def _parse(kind: type[Any], text: str) -> Any:
    if kind is Decimal:
        return TypeAdapter(Amount).validate_python(text)
    if kind is int:
        return TypeAdapter(StoredInteger).validate_python(text)
    text.encode()  # a lone surrogate is valid JSON, but no database can be asked for it
    return without_nul(kind(text))


async def _after_cursor(
    session: AsyncSession, ordered: SelectOfScalar[Any], paging: Paging, order: _Order
) -> CursorPage[Any]:
    if paging.cursor:
        ordered = ordered.where(order.after(*order.read(paging.cursor)))
    rows = (await session.exec(ordered.limit(paging.page_size + 1))).unique().all()
    items = rows[: paging.page_size]
    return CursorPage(items=items, next_cursor=order.cursor(items[-1]) if len(rows) > len(items) else None)
