"""The total order of a list, whose cursors are the sort value and the id of a row ("keyset pagination")."""

import base64
import json
from copy import copy
from datetime import date, datetime
from functools import cache
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, FromClause
from sqlalchemy.types import TypeEngine
from sqlmodel import and_, bindparam, or_

from api.errors import Unprocessable
from api.models.columns import ScaledInteger
from api.models.types import MAX_ID, StoredInteger, without_nul

AFTER_VALUE, AFTER_ID = "after_value", "after_id"
"""The parameters that say which row a part of the list follows."""


class Keyset:
    """A column and the id, in one direction."""

    def __init__(self, model: type[Any], sort: str) -> None:
        self.sort = sort
        self.name = sort.removeprefix("-")
        self.descending = sort.startswith("-")
        self.column: Any = getattr(model, self.name)
        self.id: Any = model.id

    def among(self, rows: FromClause) -> "Keyset":
        """The same order of rows that a subquery found: those have both columns."""
        order = copy(self)
        order.column, order.id = rows.c[self.name], rows.c.id
        return order

    @property
    def columns(self) -> list[Any]:
        return [self.id] if self.name == "id" else [self.column, self.id]

    @property
    def clauses(self) -> list[Any]:
        return [each.desc() if self.descending else each.asc() for each in self.columns]

    def after(self) -> ColumnElement[bool]:
        """The rows after the one that the parameters say."""
        row_id = bindparam(AFTER_ID, type_=self.id.type)
        return self.beyond(row_id, None if self.name == "id" else bindparam(AFTER_VALUE, type_=self.column.type))

    def beyond(self, row_id: Any, value: Any) -> ColumnElement[bool]:
        """The rows after one, as a range of the index and a remainder: no database reads an OR alone as a range,
        and MySQL does not read a comparison of rows as one. In the order of the ids a row has no other value.
        """
        beyond_id: ColumnElement[bool] = self.id < row_id if self.descending else self.id > row_id
        if self.name == "id":
            return beyond_id
        if self.descending:
            return and_(self.column <= value, or_(self.column < value, beyond_id))
        return and_(self.column >= value, or_(self.column > value, beyond_id))

    def up_to(self, row_id: Any, value: Any) -> ColumnElement[bool]:
        """All others, as a range too: no database makes one of a NOT."""
        within_id: ColumnElement[bool] = self.id >= row_id if self.descending else self.id <= row_id
        if self.name == "id":
            return within_id
        if self.descending:
            return and_(self.column >= value, or_(self.column > value, within_id))
        return and_(self.column <= value, or_(self.column < value, within_id))

    def cursor_at(self, row: dict[str, Any]) -> str:
        """The cursor of a row as it stands in an answer."""
        values = [self.sort, row["id"], None if self.name == "id" else str(row[self.name])]
        return base64.urlsafe_b64encode(json.dumps(values, ensure_ascii=False).encode()).decode().rstrip("=")

    def parameters(self, cursor: str) -> dict[str, Any]:
        """The parameters of `after` for a cursor.

        Raises:
            Unprocessable: It is not a cursor of a list in this order.
        """
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            sort, row_id, text = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
            if sort != self.sort or type(row_id) is not int or not 0 < row_id <= MAX_ID:
                raise ValueError
            if (text is None) != (self.name == "id") or not isinstance(text, str | None):
                raise ValueError
            if text is None:
                return {AFTER_ID: row_id}
            return {AFTER_ID: row_id, AFTER_VALUE: _parse(self.column.type, text)}
        except (ValueError, TypeError, ArithmeticError, RecursionError):
            raise Unprocessable("query.cursor", "is not a cursor that this list returned") from None


@cache
def keyset(model: type[Any], sort: str) -> Keyset:
    return Keyset(model, sort)


def _parse(column: TypeEngine[Any], text: str) -> Any:
    if isinstance(column, ScaledInteger):
        return column.parse(text)
    kind = column.python_type
    if kind in (date, datetime):
        return kind.fromisoformat(text)
    if kind is int:
        return TypeAdapter(StoredInteger).validate_python(text)
    text.encode()  # a lone surrogate is valid JSON, but no database can be asked for it
    return without_nul(kind(text))
