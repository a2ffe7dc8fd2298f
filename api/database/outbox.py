"""The outbox: the events of one transaction, which are committed together with what they tell of, or not at all.

They are written at the end of the transaction, which then has a lock on every row that they tell of. So the ids of the
events of one row rise in the order in which their transactions commit. `api/rules/events.py` records them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlmodel import SQLModel

from api.database.statements import Insertion, Statement, numbered_values
from api.database.waiting import Waiting
from api.models.event import Event
from api.telemetry.metrics import metrics

INSERT_EVENT = Insertion(Event)

OUTBOX = "outbox"
"""The key in a session's `info` of its outbox."""


class Outbox(Waiting):
    """The events of one transaction that are not written yet."""

    table = SQLModel.metadata.tables[str(Event.__tablename__)]

    def __init__(self) -> None:
        super().__init__()
        self.written: list[tuple[str, str | None]] = []
        """The types of the events that were written, with the amounts of those that have one: for the metrics."""

    def take(self, most: int) -> list[dict[str, Any]]:
        taken = super().take(most)
        if metrics.instruments is not None:
            self.written += [(str(each["type"]), each["data"].get("amount")) for each in taken]
        return taken

    def forget(self) -> None:
        super().forget()
        self.written.clear()

    def insertion(self, rows: Sequence[Mapping[str, Any]]) -> tuple[Statement, dict[str, Any]]:
        return INSERT_EVENT.many(len(rows)), numbered_values([INSERT_EVENT.values(**row) for row in rows])


def outbox_of(session: Any) -> Outbox:
    """The outbox of a session, of either kind."""
    outbox: Outbox = session.info.setdefault(OUTBOX, Outbox())
    return outbox
