"""Idempotency keys: a request that is sent again is answered again, not done again.

Follows the IETF draft "The Idempotency-Key HTTP Header Field" (draft-ietf-httpapi-idempotency-key-header).
"""

from datetime import timedelta

from sqlalchemy import bindparam
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlmodel import and_, col, delete, insert, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database_errors import is_locked, is_taken
from api.errors import Conflict, Unprocessable
from api.models import IdempotencyKey
from api.models.base import utcnow

KEPT = timedelta(days=30)

SAME = and_(
    col(IdempotencyKey.user_id) == bindparam("its_user"),
    col(IdempotencyKey.route) == bindparam("its_route"),
    col(IdempotencyKey.key) == bindparam("its_key"),
)
TAKE = insert(IdempotencyKey)
TAKE_UNLESS_TAKEN = postgresql.insert(IdempotencyKey).on_conflict_do_nothing()
ANSWER = update(IdempotencyKey).where(SAME)
"""Built once: each order, payment, refund and transfer runs them."""


async def claim(session: AsyncSession, wanted: IdempotencyKey) -> IdempotencyKey | None:
    """Take a key; where somebody had it before, return that row, whose answer is then the answer.

    The INSERT waits for another transaction that holds the same key, so of two requests at once one does the work.

    Raises:
        Unprocessable: The key was used for another request.
        Conflict: The request under this key is still in progress.
    """
    found = None
    while found is None:  # what was there can be purged, or erased with its user, before it is read
        try:
            if await _is_first(session, wanted):
                return None
        except DBAPIError as error:
            if is_locked(error):
                raise Conflict("The request under this key is in progress.", headers={"Retry-After": "1"}) from error
            raise
        found = (await session.exec(select(IdempotencyKey).where(SAME), params=_names(wanted))).one_or_none()
    if found.fingerprint != wanted.fingerprint:
        raise Unprocessable("header.Idempotency-Key", "was already used for another request")
    return found


async def _is_first(session: AsyncSession, wanted: IdempotencyKey) -> bool:
    """On PostgreSQL a failed INSERT would end the transaction, so it is told not to fail; the others undo it alone."""
    connection = await session.connection()
    insertion = TAKE_UNLESS_TAKEN if connection.dialect.name == "postgresql" else TAKE
    row, count_it = wanted.model_dump(exclude={"id"}), {"preserve_rowcount": True}
    try:
        inserted = await connection.execute(insertion, row, execution_options=count_it)
    except IntegrityError as error:
        if is_taken(error):
            return False
        raise
    return inserted.rowcount == 1


async def remember(session: AsyncSession, claimed: IdempotencyKey, status_code: int, body: str) -> None:
    """Store what is answered with its key."""
    connection = await session.connection()
    await connection.execute(ANSWER, {**_names(claimed), "status_code": status_code, "body": body})


def _names(key: IdempotencyKey) -> dict[str, int | str]:
    return {"its_user": key.user_id, "its_route": key.route, "its_key": key.key}


async def purge(session: AsyncSession) -> int:
    """Forget keys that are older than they are kept for, and say how many those were."""
    result = await session.exec(delete(IdempotencyKey).where(col(IdempotencyKey.created_at) < utcnow() - KEPT))
    return result.rowcount
