"""A channel is a way to send the rows of one table: which rows, when, and what becomes of each."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Generic, TypeVar

from sqlalchemy import ColumnElement
from sqlalchemy.orm import aliased
from sqlmodel import col, exists, literal, not_, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.base import utcnow
from api.models.outgoing import MAX_ERROR_LENGTH, Outgoing, OutgoingStatus

Row = TypeVar("Row", bound=Outgoing)

AT_ONCE_TO_ONE = 20
"""Rows that one worker sends to one receiver at the same time: others go on where one is slow."""


@dataclass(frozen=True)
class Outcome:
    """What became of a row. One that is still pending is tried again at `due_at`."""

    status: OutgoingStatus
    error: str | None = None
    due_at: datetime | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    """Columns of the channel's own."""


class Channel(ABC, Generic[Row]):
    """A way to send the rows of one table."""

    name: ClassVar[str]
    model: type[Row]
    time_limit: ClassVar[float]
    """Seconds for sending one row."""

    def candidates(self, now: datetime) -> Any:
        """The id, the receiver, and how many may be sent to it at once, of rows that may be sent now, in order."""
        model: Any = self.model
        earlier: Any = aliased(model)
        is_next: Any = not_(
            exists(earlier.id).where(
                earlier.status == OutgoingStatus.PENDING,
                getattr(earlier, model.receiver) == getattr(model, model.receiver),
                getattr(earlier, model.topic) == getattr(model, model.topic),
                earlier.id < model.id,
            )
        )
        rows: Any = select(model.id, getattr(model, model.receiver), literal(AT_ONCE_TO_ONE))
        return rows.where(is_pending(model), model.due_at <= now, is_unclaimed(model, now), is_next).order_by(model.id)

    async def find(
        self, session: AsyncSession, now: datetime, full: Sequence[int], room: int
    ) -> Sequence[tuple[int, int | None, int]]:
        """As many candidates as there is room for, without those for receivers that are sent enough already."""
        candidates = self.candidates(now).limit(room)
        if full:
            receiver = getattr(self.model, self.model.receiver)
            candidates = candidates.where(or_(receiver.is_(None), receiver.not_in(full)))
        found: Sequence[tuple[int, int | None, int]] = (await session.exec(candidates)).all()
        return found

    @abstractmethod
    async def load(self, database: Database, rows: Sequence[Row]) -> Mapping[int, Any]:
        """What is sent, by the ids of the rows; a row without it was deleted meanwhile."""

    @abstractmethod
    async def send(self, row: Row, letter: Any) -> Outcome:
        """Send one row. An error that it raises is a mistake of the shop's own, and the row is tried again."""

    async def note(self, session: AsyncSession, outcomes: Sequence[tuple[Row, Outcome]]) -> None:
        """Note more of what became of rows, in the transaction that notes it of the rows."""

    async def close(self) -> None:
        """Give back what was opened for sending."""


def is_pending(model: Any) -> ColumnElement[bool]:
    return col(model.status) == OutgoingStatus.PENDING


def is_unclaimed(model: Any, now: datetime) -> ColumnElement[bool]:
    return or_(col(model.claimed_until).is_(None), col(model.claimed_until) <= now)


def new_values(row: Outgoing, outcome: Outcome) -> dict[str, Any]:
    """The columns that an outcome changes."""
    was_sent = outcome.status is OutgoingStatus.SENT
    return {
        "status": outcome.status,
        "attempts": row.attempts + 1,
        "due_at": outcome.due_at or row.due_at,
        "claim": None,
        "claimed_until": None,
        "sent_at": utcnow() if was_sent else None,
        "error": None if was_sent else _one_line(outcome.error),
        **outcome.values,
    }


def _one_line(error: str | None) -> str | None:
    """An error as it is stored: its text may be that of a stranger."""
    if error is None:
        return None
    printable = (each if each.isprintable() else " " for each in error[: 2 * MAX_ERROR_LENGTH])
    return " ".join("".join(printable).split())[:MAX_ERROR_LENGTH]
