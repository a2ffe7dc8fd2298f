"""Events: what happens is recorded where it happens, as the API would answer it at that moment.

The events of a transaction are committed with it (`api/database/outbox.py`), and get their places in the feed from the
worker (`api/worker/relay.py`).
"""

from collections.abc import Iterable

from sqlmodel import SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.outbox import outbox_of
from api.models.base import utcnow
from api.models.event import EventType
from api.models.payloads import PAYLOADS
from api.models.user import User
from api.reads.answers import json_values_of


def record_event(
    session: AsyncSession,
    happened: EventType,
    model: type[SQLModel],
    row_id: int,
    payload: object,
    *,
    user_id: int | None = None,
) -> None:
    """Record what happened to a row.

    Args:
        session: That of the transaction in which it happens.
        happened: The type of the event.
        model: The table class of the row.
        row_id: The row's id.
        payload: A row, or an answer, that has the fields of the type's class in `PAYLOADS`.
        user_id: The person whom the payload tells of; the event is erased with the person.
    """
    subject = f"{str(model.__tablename__).replace('_', '-')}/{row_id}"
    data = json_values_of(payload, PAYLOADS[happened])
    outbox_of(session).wait(type=happened, subject=subject, data=data, timestamp=utcnow(), user_id=user_id)


def record_registrations(session: AsyncSession, users: Iterable[User]) -> None:
    """Record that customers were added, whose rows are written already."""
    for each in users:
        record_event(session, EventType.USER_REGISTERED, User, each.id, each, user_id=each.id)
