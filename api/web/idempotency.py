"""Idempotency keys: a request that is sent again is answered again, and not done again.

The way of a request with a key, from top to bottom:

    in_transaction           opens an attempt, and commits it at the end
      answer_once            claims the key in the transaction of the attempt
                             ├ used before: answers what is stored, and the route is not run
                             └ new: runs the route
        FastAPI's handler    the dependencies and the route; they use the same transaction
      answer_once            stores the answer; a refusal undoes everything, claims the key again, and is stored
                             unless another request has used the key meanwhile: then that one's answer is the answer

A route that writes outside of its transaction as well, such as one that counts attempts, does so before it: there the
key is first looked for, and claimed where the transaction begins. Which routes take a key: `key_rules.py`.

Follows the IETF draft "The Idempotency-Key HTTP Header Field" (draft-ietf-httpapi-idempotency-key-header).
"""

import hashlib
import re

from fastapi import Request
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.responses import Response

from api.database.errors import is_duplicate_slug, refusal_for
from api.database.transactions import undo
from api.errors import BadRequest, ShopError, Unprocessable
from api.web.app_state import caller_id_of, hash_slowly
from api.web.framework_internals import path_template
from api.web.key_rules import KeyRules
from api.web.preconditions import IF_MATCH
from api.web.problems import PROBLEM_JSON, refusal_response
from api.web.stored_answers import (
    HEADER,
    KEEP_CALLER,
    LOCK_CALLER,
    Key,
    StoredAnswer,
    claim,
    store_answer,
    stored_answer,
)
from api.web.transactions import Handler, run_of

MAX_KEY_LENGTH = 255
KEY_PATTERN = r"^[\x21-\x7e]+$"

NOT_STORED = {401, 429}
"""Refusals that a later attempt may overcome, although nothing is wrong with the database."""


class _Stopped(Exception):
    """The key was used before, or could not be claimed, when the transaction began: the route is not run."""

    def __init__(self, outcome: StoredAnswer | ShopError) -> None:
        self.outcome = outcome


def answer_once(answer: Handler, rules: KeyRules) -> Handler:
    """Run a route once for each key, and answer every later request with that key like the first one.

    A refusal is stored too, but not an error that a later attempt may overcome, and not a request that does not fit
    its schema.
    """

    async def run(request: Request) -> Response:
        if HEADER not in request.headers:
            return await answer(request)
        if rules.refusal is not None:
            raise BadRequest(f"{rules.refusal} Send the request without the header.")
        user_id = await caller_id_of(request)
        if user_id is None:
            return await answer(request)  # which refuses whoever is not signed in
        keyed = _KeyedRequest(request, _key_of(request, user_id), rules)
        if answered := await keyed.begin():
            return _replay(answered)
        try:
            response = await answer(request)
            await keyed.store(response)
        except _Stopped as stopped:
            if isinstance(stopped.outcome, ShopError):
                raise stopped.outcome from None
            return _replay(stopped.outcome)
        except (ShopError, SQLAlchemyError) as error:
            if isinstance(error, SQLAlchemyError) and is_duplicate_slug(error):
                raise  # the route is run again, and generates another one
            refusal = error if isinstance(error, ShopError) else refusal_for(error)
            if refusal is None or refusal.status >= 500 or refusal.status in NOT_STORED or not keyed.is_known:
                raise
            response = refusal_response(refusal)
            if answered := await keyed.begin_again():
                return _replay(answered)
            await keyed.store(response)
        return response

    return run


class _KeyedRequest:
    """A request with a key, in one run of its route."""

    def __init__(self, request: Request, key: Key, rules: KeyRules) -> None:
        self._request, self._key, self._rules = request, key, rules
        self._run = run_of(request)
        self._fingerprint = ""

    @property
    def is_known(self) -> bool:
        """Whether the whole request was read; a file is not where its caller was refused before."""
        return bool(self._fingerprint)

    async def begin(self) -> StoredAnswer | None:
        """Claim the key, or have it claimed where the transaction begins; return the answer where there is one.

        A file is read once it is known that the caller may send one, so its key waits for that.
        """
        if self._rules.takes_upload:
            self._run.after_upload, self._run.before_writing = self._look_up_or_stop, self._claim_or_stop
            return None
        self._fingerprint = await _fingerprint(self._request, self._key, self._rules)
        if not self._rules.writes_beside:
            return await self._claim(await self._run.write_session())
        self._run.before_writing = self._claim_or_stop
        async with self._run.connection() as connection:
            return await stored_answer(connection, self._key, self._fingerprint)

    async def begin_again(self) -> StoredAnswer | None:
        """Undo everything, with the claim: until the next one, another request may have the key."""
        self._run.before_writing = None
        session = await self._run.write_session()
        await undo(session)
        return await claim(session, self._key, self._fingerprint, caller=KEEP_CALLER)

    async def store(self, response: Response) -> None:
        session = await self._run.write_session()
        await store_answer(session, self._key, response.status_code, bytes(response.body).decode())

    async def _claim(self, session: AsyncSession) -> StoredAnswer | None:
        caller = LOCK_CALLER if self._rules.locks_caller else None
        return await claim(session, self._key, self._fingerprint, caller=caller)

    async def _look_up_or_stop(self, digest: str) -> None:
        salt = hashlib.sha256(repr(self._key).encode()).digest()
        content = _target_of(self._request) + digest.encode()
        self._fingerprint = await hash_slowly(self._request, content, salt)  # a file of users holds passwords
        async with self._run.connection() as connection:
            answered = await stored_answer(connection, self._key, self._fingerprint)
        if answered is not None:
            raise _Stopped(answered)

    async def _claim_or_stop(self, session: AsyncSession) -> None:
        try:
            answered = await self._claim(session)
        except ShopError as error:
            raise _Stopped(error) from error
        if answered is not None:
            raise _Stopped(answered)


def _key_of(request: Request, user_id: int) -> Key:
    """The key that a request claims.

    Raises:
        Unprocessable: The header is malformed.
    """
    key, *others = request.headers.getlist(HEADER)
    if others or len(key) > MAX_KEY_LENGTH or not re.fullmatch(KEY_PATTERN, key):
        message = f"must be one text of 1 to {MAX_KEY_LENGTH} visible ASCII characters, without spaces"
        raise Unprocessable(f"header.{HEADER}", message)
    return Key(user_id=user_id, route=f"{request.method} {path_template(request)}", key=key)


async def _fingerprint(request: Request, key: Key, rules: KeyRules) -> str:
    """A hash of all that makes a request what it is."""
    content = _target_of(request) + await request.body()
    if rules.carries_secret:
        return await hash_slowly(request, content, hashlib.sha256(repr(key).encode()).digest())
    return hashlib.sha256(content).hexdigest()


def _target_of(request: Request) -> bytes:
    scope = request.scope  # `request.url` would have the query as text, which its bytes need not be
    target = f"{scope['method']} {scope['path']}?".encode() + bytes(scope["query_string"]) + b"\n"
    return target + b"".join(f"{IF_MATCH}: {each}\n".encode() for each in request.headers.getlist(IF_MATCH))


def _replay(answered: StoredAnswer) -> Response:
    status = answered.status_code or 200
    media_type = PROBLEM_JSON if status >= 400 else "application/json" if answered.body else None
    return Response((answered.body or "").encode(), status, {"Idempotent-Replayed": "true"}, media_type)
