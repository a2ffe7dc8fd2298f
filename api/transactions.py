"""How a route's transaction is run: again after a deadlock, and once only under an Idempotency-Key."""

import asyncio
import hashlib
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from fastapi.routing import APIRoute
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSessionTransaction
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from api.auth import CurrentUser
from api.database import WriteSession
from api.database_errors import DatabaseError, is_taken_slug, is_transient, refusal_for
from api.errors import PROBLEM_JSON, ShopError, Unavailable
from api.models import IdempotencyKey
from api.rules import idempotency

logger = logging.getLogger(__name__)

TRIES = 6
LONGEST = 9.0
"""Seconds for all tries together, whatever they wait for, so that a client has its answer within ten."""


class TransactionRoute(APIRoute):
    """A route whose transaction is run again after a deadlock, and once only under an `Idempotency-Key`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def run(request: Request) -> Response:
            await _read_body(request)
            deadline = asyncio.get_running_loop().time() + LONGEST
            for attempt in range(1, TRIES + 1):
                try:
                    return await _run_once(handler, request, deadline)
                except TimeoutError as error:
                    raise Unavailable("This took too long; try again shortly.") from error
                except DatabaseError as error:
                    again = is_transient(error) or (attempt == 1 and is_taken_slug(error))
                    if attempt == TRIES or not again:
                        if refusal := refusal_for(error):
                            raise refusal from error
                        raise
                    logger.info("%s %s is run again: %s", request.method, request.scope["path"], type(error).__name__)
                    await asyncio.sleep(_full_jitter(attempt))
            raise AssertionError("the last attempt returns or raises")

        return run


async def _read_body(request: Request) -> None:
    """Before the clock starts: a slow client has the time that it takes. FastAPI finds the body read."""
    with suppress(ClientDisconnect):  # which it then says in its own way
        await request.body()


def _full_jitter(attempt: int) -> float:
    """Seconds to wait, after "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015)."""
    return random.uniform(0, min(1.0, 0.02 * 2**attempt))  # noqa: S311


@dataclass
class _Claim:
    """A key that this request holds, and the savepoint behind which its work stands."""

    session: AsyncSession
    row: IdempotencyKey
    work: AsyncSessionTransaction

    async def remember(self, response: Response) -> None:
        await idempotency.remember(self.session, self.row, response.status_code, bytes(response.body).decode())


class _Replayed(Exception):
    """The key has been answered before."""

    def __init__(self, row: IdempotencyKey) -> None:
        status = row.status_code or 200
        self.response = Response(
            (row.body or "").encode(),
            status,
            {"Idempotent-Replayed": "true"},
            PROBLEM_JSON if status >= 400 else "application/json",
        )


async def _run_once(handler: Callable[[Request], Awaitable[Response]], request: Request, deadline: float) -> Response:
    """Run the route with sessions of its own, which are committed when this returns.

    The deadline ends the work, which is then rolled back, but never a commit: what became of that, nobody would know.
    """
    request.state.claim = None
    try:
        async with AsyncExitStack() as function_scope:
            # FastAPI ends its function-scoped dependencies, and so our sessions, with this stack. It is replaced here
            # so that each attempt ends its own, and before the handler returns.
            request.scope["fastapi_function_astack"] = function_scope
            async with asyncio.timeout_at(deadline):
                return await _remembered(handler, request)
    except _Replayed as replayed:
        return replayed.response


async def _remembered(handler: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
    """The answer, stored with its key in the same transaction where the request came with one, refusals too."""
    claimed: _Claim | None
    try:
        response = await handler(request)
        claimed = request.state.claim
    except (ShopError, SQLAlchemyError) as error:
        claimed = request.state.claim
        refusal = error if isinstance(error, ShopError) else refusal_for(error)
        if claimed is None or refusal is None or refusal.status >= 500:
            raise
        await claimed.work.rollback()
        response = refusal.response()
    if claimed is not None:
        await claimed.remember(response)
    return response


async def claim_key(
    request: Request,
    session: WriteSession,
    user: CurrentUser,
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=255,
            pattern=r"^[\x21-\x7e]+$",
            description="Any unique text. A request that is sent again with it is answered again, not done again.",
            examples=["8e03978e-40d5-43e8-bc93-6894a57f9324"],
        ),
    ] = None,
) -> None:
    if key is None:
        return
    row = IdempotencyKey(
        user_id=user.id,
        route=f"{request.method} {request.scope['route'].path_format}",
        key=key,
        fingerprint=await _fingerprint(request),
    )
    if answered := await idempotency.claim(session, row):
        raise _Replayed(answered)
    request.state.claim = _Claim(session, row, await session.begin_nested())


async def _fingerprint(request: Request) -> str:
    scope = request.scope  # `request.url` would have the query as text, which its bytes need not be
    target = f"{scope['method']} {scope['path']}?".encode() + scope["query_string"] + b"\n"
    return hashlib.sha256(target + await request.body()).hexdigest()


Idempotent = Depends(claim_key)
"""For `dependencies=[Idempotent]` of a route: the `Idempotency-Key` header does what it says."""
