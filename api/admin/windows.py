"""Windows: a filter that no index serves looks through so many rows for one part of a list, and no further.

A database would walk a table of millions to its end, for a part that fifty rare rows would fill. What the window had
nothing of goes on with the next part, in the order of the ids. They are not taken for times: a row may be older than
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
    """The ids from one, where the part begins, to another, both of which belong to it."""

    order: Keyset
    last: int

    def is_within(self) -> ColumnElement[bool]:
        """Its rows, as a condition beside that of the part."""
        inside: ColumnElement[bool] = (
            self.order.id >= self.last if self.order.descending else self.order.id <= self.last
        )
        return inside

    async def following(self, session: AsyncSession) -> str | None:
        """Where the list goes on behind it; `None` where no rows are left."""
        first = await _first_id(session, self.order, self.last)
        return None if first is None else self.order.cursor_at({"id": self.last})


async def window_of(session: AsyncSession, order: Keyset, values: dict[str, Any]) -> Window | None:
    """The window of a part that follows the row of `values`, or of the first one; `None` where no rows are left."""
    first = await _first_id(session, order, values.get(AFTER_ID))
    if first is None:
        return None
    last = first - ROWS_AT_MOST + 1 if order.descending else first + ROWS_AT_MOST - 1
    return Window(order, min(max(last, 1), MAX_ID))


async def _first_id(session: AsyncSession, order: Keyset, after: int | None) -> int | None:
    nearest = select(func.max(order.id) if order.descending else func.min(order.id))
    if after is not None:
        nearest = nearest.where(order.id < after if order.descending else order.id > after)
    found: int | None = (await session.exec(nearest)).one()
    return found
