"""Windows: a filter that no index serves looks through so many rows for one part of a list, and no further.

A database would walk a table of millions to its end, for a part that fifty rare rows would fill. What the window had
nothing of goes on with the next part, in the order of the list. Ids are not taken for times: a row may be older than
one with a lower id, as where it was brought along from another shop.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.types import MAX_ID
from api.reads.keyset import AFTER_ID, Keyset

ROWS_AT_MOST = 100_000
"""Rows of one window: to look through them takes a database a tenth of a second or two."""


@dataclass(frozen=True)
class Window:
    """The rows of a list up to one, which need not be there any more."""

    order: Keyset
    last_id: int
    last_value: Any = None
    """What the list is sorted by, where that is not the id."""

    def is_within(self) -> ColumnElement[bool]:
        """Its rows, as a condition beside that of the part."""
        return self.order.up_to(self.last_id, self.last_value)

    async def following(self, session: AsyncSession) -> dict[str, Any] | None:
        """The row behind which the list goes on; `None` where no rows are left."""
        behind = self.order.beyond(self.last_id, self.last_value)
        left = select(self.order.id).where(behind).order_by(*self.order.clauses).limit(1)
        if (await session.exec(left)).first() is None:
            return None
        return {self.order.name: self.last_value, "id": self.last_id}


async def window_of(session: AsyncSession, order: Keyset, values: dict[str, Any]) -> Window | None:
    """The window of a part that follows the row of `values`, or of the first one; `None` where few rows are left."""
    if order.name == "id":
        return await _window_of_ids(session, order, values.get(AFTER_ID))
    rows: Any = select(*order.columns)
    if values:
        rows = rows.where(order.after())
    last = (await session.exec(rows.order_by(*order.clauses).offset(ROWS_AT_MOST - 1).limit(1), params=values)).first()
    return None if last is None else Window(order, last[1], last[0])


async def _window_of_ids(session: AsyncSession, order: Keyset, after: int | None) -> Window | None:
    """So many ids are no more rows than that. The first one is looked for, because there may be gaps."""
    nearest = select(func.max(order.id) if order.descending else func.min(order.id))
    if after is not None:
        nearest = nearest.where(order.beyond(after, None))
    first = (await session.exec(nearest)).one()
    if first is None:
        return None
    last = first - ROWS_AT_MOST + 1 if order.descending else first + ROWS_AT_MOST - 1
    return Window(order, min(max(last, 1), MAX_ID))
