"""Idempotency keys: a request that is sent again is answered again, not done again.

Follows the IETF draft "The Idempotency-Key HTTP Header Field" (draft-ietf-httpapi-idempotency-key-header).
"""

from datetime import timedelta

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlmodel import col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database_errors import is_locked
from api.errors import Conflict, Unprocessable
from api.models import IdempotencyKey
from api.models.base import utcnow

KEPT = timedelta(days=30)


async def claim(session: AsyncSession, *, user_id: int, route: str, key: str, fingerprint: str) -> IdempotencyKey:
    """Take a key, or find what it was answered: then the row has a `status_code`.

    The INSERT waits for another transaction that holds the same key, so of two requests at once one does the work.

    Raises:
        Unprocessable: The key was used for another request.
        Conflict: The request under this key is still in progress.
    """
    row = IdempotencyKey(user_id=user_id, route=route, key=key, fingerprint=fingerprint)
    try:
        async with session.begin_nested():
            session.add(row)
    except IntegrityError as error:
        same_key = select(IdempotencyKey).where(
            IdempotencyKey.user_id == user_id, IdempotencyKey.route == route, IdempotencyKey.key == key
        )
        found = (await session.exec(same_key)).one_or_none()
        if found is None:  # not the key was there already, but its user not any more
            raise
        if found.fingerprint != fingerprint:
            raise Unprocessable("header.Idempotency-Key", "was already used for another request") from error
        return found
    except DBAPIError as error:
        if is_locked(error):
            raise Conflict("The request under this key is in progress.", headers={"Retry-After": "1"}) from error
        raise
    return row


async def purge(session: AsyncSession) -> int:
    """Forget keys that are older than they are kept for, and say how many those were."""
    result = await session.exec(delete(IdempotencyKey).where(col(IdempotencyKey.created_at) < utcnow() - KEPT))
    return result.rowcount
