"""The rows of idempotency keys: a key is claimed, its answer is stored and found again, and old ones are purged."""

from datetime import timedelta
from typing import NamedTuple, TypedDict

from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlmodel import and_, bindparam, col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.connections import driver_of
from api.database.drivers import DriverConnection
from api.database.errors import is_duplicate, is_lock_timeout
from api.database.statements import Insertion, Statement
from api.errors import Conflict, Unauthorized, Unprocessable
from api.models.base import utcnow
from api.models.idempotency_key import IdempotencyKey
from api.models.user import User
from api.web.app_state import INVALID_TOKEN

KEYS_AT_A_TIME = 1_000
"""Of one transaction: an answer may have megabytes."""

KEY_LIFETIME = timedelta(days=30)
"""Longer than any client tries again."""

HEADER = "Idempotency-Key"
THIS_KEY = and_(
    col(IdempotencyKey.user_id) == bindparam("user_id"),
    col(IdempotencyKey.route) == bindparam("route"),
    col(IdempotencyKey.key) == bindparam("key"),
)
# Compiled once: each order, payment, refund and transfer runs these.
INSERT_KEY = Insertion(IdempotencyKey)
INSERT_KEY_UNLESS_PRESENT = Statement(
    postgresql.insert(IdempotencyKey).values(INSERT_KEY.parameters()).on_conflict_do_nothing()
)
SELECT_KEY = Statement(
    select(col(IdempotencyKey.fingerprint), col(IdempotencyKey.status_code), col(IdempotencyKey.body)).where(THIS_KEY)
)
STORE_ANSWER = Statement(
    update(IdempotencyKey).where(THIS_KEY).values(status_code=bindparam("code"), body=bindparam("text"))
)
_CALLER = select(User.id).where(User.id == bindparam("user_id"), User.not_erased())
LOCK_CALLER = Statement(_CALLER.with_for_update())
KEEP_CALLER = Statement(_CALLER.with_for_update(read=True, key_share=True))
"""Keeps the caller from being erased until the transaction ends."""


class Key(TypedDict):
    """One user's key for one route."""

    user_id: int
    route: str
    key: str


class StoredAnswer(NamedTuple):
    """What a key was used for, and the answer then."""

    fingerprint: str
    status_code: int | None
    body: str | None


async def claim(
    session: AsyncSession, key: Key, fingerprint: str, *, caller: Statement | None = None
) -> StoredAnswer | None:
    """Insert a key. Where it was used before, return its row, whose answer is then the answer.

    The INSERT waits for another transaction that holds the same key, so of two requests at once one does the work.
    `caller` is a statement that locks the caller's row before: the key refers to it.

    Raises:
        Unauthorized: The caller was erased since the request came in.
        Unprocessable: The key was used for another request.
        Conflict: The request with this key is still in progress.
    """
    driver = await driver_of(session)
    if caller is not None and not await driver.fetch(caller, user_id=key["user_id"]):
        raise Unauthorized(INVALID_TOKEN)
    while True:  # a row that was there can be purged, or erased with its user, before it is read
        try:
            if await _is_first(driver, key, fingerprint):
                return None
        except DBAPIError as error:
            if is_lock_timeout(error):
                raise Conflict(f"A request with this {HEADER} is in progress.", retry_after=1) from error
            raise
        if answered := await stored_answer(driver, key, fingerprint):
            return answered


async def stored_answer(driver: DriverConnection, key: Key, fingerprint: str) -> StoredAnswer | None:
    """The answer that is stored under a key, if there is one.

    Raises:
        Unprocessable: The key was used for another request.
    """
    found = await driver.fetch(SELECT_KEY, **key)
    if not found:
        return None
    answered = StoredAnswer(*found[0])
    if answered.fingerprint != fingerprint:
        raise Unprocessable(f"header.{HEADER}", "was already used for another request")
    return answered


async def _is_first(driver: DriverConnection, key: Key, fingerprint: str) -> bool:
    """On PostgreSQL a failed INSERT ends the transaction, so a conflict is ignored; others undo the INSERT alone."""
    insertion = INSERT_KEY_UNLESS_PRESENT if driver.dialect.name == "postgresql" else INSERT_KEY.one
    try:
        return await driver.execute(insertion, **INSERT_KEY.values(**key, fingerprint=fingerprint)) == 1
    except IntegrityError as error:
        if is_duplicate(error):
            return False
        raise Unauthorized(INVALID_TOKEN) from error  # the only row that a key refers to is its user's


async def store_answer(session: AsyncSession, key: Key, status_code: int, body: str) -> None:
    driver = await driver_of(session)
    await driver.send(STORE_ANSWER, **key, code=status_code, text=body)


async def purge(session: AsyncSession) -> int:
    """Delete keys that are older than their lifetime, so many at a time, and return how many those were."""
    created_at = col(IdempotencyKey.created_at)
    old = select(IdempotencyKey.id).where(created_at < utcnow() - KEY_LIFETIME).order_by(created_at)
    ids = (await session.exec(old.limit(KEYS_AT_A_TIME))).all()
    await session.exec(delete(IdempotencyKey).where(col(IdempotencyKey.id).in_(ids)))
    return len(ids)
