"""Idempotency keys: a request that is sent again is answered again, and not done again.

The way of a request with a key, from top to bottom:

    in_transaction           opens an attempt, and commits it at the end
      answer_once            claims the key in the transaction of the attempt
                             ├ used before: answers what is stored, and the route is not run
                             └ new: runs the route
        FastAPI's handler    the dependencies and the route; they use the same transaction
      answer_once            stores the answer; a refusal undoes everything, claims the key again, and is stored
                             unless another request has used the key meanwhile: then that one's answer is the answer

Follows the IETF draft "The Idempotency-Key HTTP Header Field" (draft-ietf-httpapi-idempotency-key-header).
"""

import hashlib
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, NamedTuple, TypedDict

from fastapi import Depends, Header, Request
from fastapi.routing import APIRoute
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlmodel import and_, bindparam, col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.responses import Response

from api.database.connections import driver_of
from api.database.drivers import DriverConnection
from api.database.errors import is_duplicate, is_lock_timeout, refusal_for
from api.database.statements import Insertion, Row, Statement
from api.database.transactions import undo
from api.errors import Conflict, ShopError, Unprocessable
from api.models.base import utcnow
from api.models.idempotency_key import IdempotencyKey
from api.web.app_state import caller_id_of
from api.web.framework_internals import path_template
from api.web.problems import PROBLEM_JSON, refusal_response
from api.web.transactions import Handler, run_of

KEY_LIFETIME = timedelta(days=30)
"""Longer than any client tries again."""

MAX_KEY_LENGTH = 255
KEY_PATTERN = r"^[\x21-\x7e]+$"

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


async def declare_key(
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=MAX_KEY_LENGTH,
            pattern=KEY_PATTERN,
            description="Any unique text. A repeated request with the same key gets the stored answer "
            "and is not done again.",
            examples=["8e03978e-40d5-43e8-bc93-6894a57f9324"],
        ),
    ] = None,
) -> None:
    """Have FastAPI document the header, and refuse a malformed one."""


Idempotent = Depends(declare_key)
"""For `dependencies=[Idempotent]` of a route: it takes an `Idempotency-Key`."""


def takes_key(route: APIRoute) -> bool:
    return Idempotent in route.dependencies


def answer_once(answer: Handler) -> Handler:
    """Run a route once for each key, and answer every later request with that key like the first one.

    A refusal is stored too, but not an error that a later attempt may overcome, and not a request that does not fit
    its schema.
    """

    async def run(request: Request) -> Response:
        key = await _key_of(request)
        if key is None:
            return await answer(request)
        fingerprint = await _fingerprint(request)
        session = await run_of(request).write_session()
        if answered := await claim(session, key, fingerprint):
            return _replay(answered)
        try:
            response = await answer(request)
        except (ShopError, SQLAlchemyError) as error:
            refusal = error if isinstance(error, ShopError) else refusal_for(error)
            if refusal is None or refusal.status >= 500:
                raise
            response = refusal_response(refusal)
            await undo(session)  # with the claim: until the next one, another request may have the key
            if answered := await claim(session, key, fingerprint):
                return _replay(answered)
        await store_answer(session, key, response.status_code, bytes(response.body).decode())
        return response

    return run


async def _key_of(request: Request) -> Key | None:
    """The key that a request claims; `None` where it has none, or where the route will refuse it."""
    key = request.headers.get("Idempotency-Key", "")
    if len(key) > MAX_KEY_LENGTH or not re.fullmatch(KEY_PATTERN, key):
        return None
    user_id = await caller_id_of(request)
    if user_id is None:
        return None
    return Key(user_id=user_id, route=f"{request.method} {path_template(request)}", key=key)


async def _fingerprint(request: Request) -> str:
    """A hash of all that makes a request what it is."""
    scope = request.scope  # `request.url` would have the query as text, which its bytes need not be
    target = f"{scope['method']} {scope['path']}?".encode() + scope["query_string"] + b"\n"
    return hashlib.sha256(target + await request.body()).hexdigest()


async def claim(session: AsyncSession, key: Key, fingerprint: str) -> StoredAnswer | None:
    """Insert a key. Where it was used before, return its row, whose answer is then the answer.

    The INSERT waits for another transaction that holds the same key, so of two requests at once one does the work.

    Raises:
        Unprocessable: The key was used for another request.
        Conflict: The request with this key is still in progress.
    """
    driver = await driver_of(session)
    found: Sequence[Row] = ()
    while not found:  # a row that was there can be purged, or erased with its user, before it is read
        try:
            if await _is_first(driver, key, fingerprint):
                return None
        except DBAPIError as error:
            if is_lock_timeout(error):
                raise Conflict("A request with this Idempotency-Key is in progress.", retry_after=1) from error
            raise
        found = await driver.fetch(SELECT_KEY, **key)
    answered = StoredAnswer(*found[0])
    if answered.fingerprint != fingerprint:
        raise Unprocessable("header.Idempotency-Key", "was already used for another request")
    return answered


async def _is_first(driver: DriverConnection, key: Key, fingerprint: str) -> bool:
    """On PostgreSQL a failed INSERT ends the transaction, so a conflict is ignored; others undo the INSERT alone."""
    insertion = INSERT_KEY_UNLESS_PRESENT if driver.dialect.name == "postgresql" else INSERT_KEY.one
    try:
        return await driver.execute(insertion, **INSERT_KEY.values(**key, fingerprint=fingerprint)) == 1
    except IntegrityError as error:
        if is_duplicate(error):
            return False
        raise


async def store_answer(session: AsyncSession, key: Key, status_code: int, body: str) -> None:
    driver = await driver_of(session)
    await driver.send(STORE_ANSWER, **key, code=status_code, text=body)


def _replay(answered: StoredAnswer) -> Response:
    status = answered.status_code or 200
    media_type = PROBLEM_JSON if status >= 400 else "application/json"
    return Response((answered.body or "").encode(), status, {"Idempotent-Replayed": "true"}, media_type)


async def purge(session: AsyncSession) -> int:
    """Delete keys that are older than their lifetime, and return how many those were."""
    result = await session.exec(delete(IdempotencyKey).where(col(IdempotencyKey.created_at) < utcnow() - KEY_LIFETIME))
    return result.rowcount
