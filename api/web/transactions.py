"""How a route is run: in a transaction that is committed before the answer is sent, and again after a deadlock or on a
fresh connection where the old one broke."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Self, TypeVar

from fastapi import Request
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from api.backoff import backoff
from api.database.causes import cause_of
from api.database.connections import CheckedOut, driver_of
from api.database.drivers import DriverConnection
from api.database.errors import (
    DATABASE_ERRORS,
    is_broken_connection,
    is_duplicate_slug,
    is_transient,
    needs_fresh_session,
    refusal_for,
)
from api.database.sessions import SCHEMA_PATIENCE
from api.database.statements import Row, Statement
from api.database.time_limits import CANCEL_GRACE, TimeLimit
from api.database.trail import Origin
from api.database.transactions import COMMIT_TIMEOUT, ROLLBACK_TIMEOUT
from api.errors import Unavailable
from api.telemetry.metrics import metrics
from api.web.app_state import database_of
from api.web.framework_internals import path_template
from api.web.request_ids import request_id_of

logger = logging.getLogger(__name__)

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
Found = TypeVar("Found")

MAX_ATTEMPTS = 6
"""Runs of one request. The five waits between them add up to 1.24 seconds at most, well within the deadline."""

REQUEST_DEADLINE = 9.0
"""Seconds for all attempts together, whatever they wait for, so that a client has its answer within ten."""

LONGEST_REQUEST = sum(
    limit + CANCEL_GRACE for limit in (REQUEST_DEADLINE, COMMIT_TIMEOUT, ROLLBACK_TIMEOUT, SCHEMA_PATIENCE)
)
"""Seconds from a request to its answer, where the database falls silent at the COMMIT. A stop waits as long."""

FIRST_BACKOFF, LONGEST_BACKOFF = 0.04, 0.64
"""Seconds to wait at most before the second attempt, and before the last one. A transaction lasts about 20 ms."""

HUNG_UP = "The client hung up before the request was complete."
COMPRESSED_BODY = "The body is compressed, which the shop does not undo: send it as it is, without Content-Encoding."


class RouteRun:
    """One run of a route, with the sessions that its dependencies hand out. They end with it."""

    def __init__(self, request: Request, deadline: float, *, keeps_connection: bool) -> None:
        self._request = request
        self.time_limit = TimeLimit(deadline)
        """It can be moved, such as while a client sends a file."""
        self._keeps_connection = keeps_connection
        self._kept: CheckedOut | None = None
        self._sessions: AsyncExitStack | None = None
        self._read_session: AsyncSession | None = None
        self._write_session: AsyncSession | None = None
        self.before_writing: Callable[[AsyncSession], Awaitable[None]] | None = None
        """What the transaction begins with, where it does not begin at once."""
        self.after_upload: Callable[[str], Awaitable[None]] | None = None
        """What is done once a file is read, of which it is told the hash."""
        self._found: dict[Any, Any] = {}
        self.origin = Origin(request_id=request_id_of(request.scope))
        """Who makes the changes, for the audit trail: whoever finds out who sends the request notes it here."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: Any) -> None:
        try:
            await self.release_connection()
        finally:
            if self._sessions is not None:
                await self._sessions.__aexit__(*error)

    async def read_session(self) -> AsyncSession:
        if self._read_session is None:
            self._read_session = await self._opened(database_of(self._request).reads())
        return self._read_session

    async def write_session(self) -> AsyncSession:
        """The session of the transaction, which is committed when the run ends without an error."""
        if self._write_session is None:
            self._write_session = await self._opened(database_of(self._request).transaction(self.origin))
            if self.before_writing is not None:
                await self.before_writing(self._write_session)
        return self._write_session

    @property
    def _session(self) -> AsyncSession | None:
        """The one that is open."""
        return self._write_session or self._read_session

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[DriverConnection]:
        """The connection of the session that is open, so that no request waits for a second one; else a new one.

        A run that keeps its connection does so until a session opens.
        """
        if self._session is not None:
            yield await driver_of(self._session)
        elif self._keeps_connection:
            if self._kept is None:
                self._kept = await database_of(self._request).check_out()
            yield self._kept.connection
        else:
            async with database_of(self._request).connection() as connection:
                yield connection

    async def fetch(self, statement: Statement, **values: Any) -> Sequence[Row]:
        """The rows of a statement that is no part of a transaction, and uses no session, although one may be open."""
        keeps = self._keeps_connection and self._session is None
        connection = self.connection() if keeps else database_of(self._request).connection()
        async with connection as driver:
            return await driver.fetch(statement, **values)

    async def release_connection(self) -> None:
        """Give back the connection that is kept, before another one is waited for."""
        if self._kept is not None:
            kept, self._kept = self._kept, None
            await kept.give_back()

    async def _opened(self, session: AbstractAsyncContextManager[AsyncSession]) -> AsyncSession:
        await self.release_connection()
        if self._sessions is None:
            self._sessions = AsyncExitStack()
        return await self._sessions.enter_async_context(session)

    async def once(self, find: Callable[[Request], Awaitable[Found]]) -> Found:
        """What `find` answers for this request, asked for only once in a run."""
        if find not in self._found:
            self._found[find] = await find(self._request)
        found: Found = self._found[find]
        return found


def run_of(request: Request) -> RouteRun:
    """The run that a dependency belongs to.

    Raises:
        RuntimeError: The route runs without a transaction.
    """
    run: RouteRun | None = getattr(request.state, "route_run", None)
    if run is None:
        raise RuntimeError(f"{request.url.path} runs without a transaction: its router is no api.web.routing.Router")
    return run


def in_transaction(answer: Handler, *, takes_upload: bool = False, keeps_connection: bool = False) -> Handler:
    """Run a route, and run it again on fresh sessions where that helps. A file is read by the route itself.

    One that `keeps_connection` reads its answer on the connection on which it has found its caller. It takes no other
    one but by its run.

    Raises:
        Unavailable: The deadline is over, or the database stays busy or unreachable.
    """

    async def run(request: Request) -> Response:
        if not takes_upload:
            await _read_body(request)
        deadline = asyncio.get_running_loop().time() + REQUEST_DEADLINE
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                return await _run_once(answer, request, deadline, keeps_connection)
            except TimeoutError as error:
                raise Unavailable("The request took too long and was undone. Try again shortly.") from error
            except DATABASE_ERRORS as error:
                if attempt == MAX_ATTEMPTS or not _may_succeed_again(error, attempt):
                    if refusal := refusal_for(error) or await database_of(request).schema_refusal():
                        raise refusal from error
                    raise
                cause = cause_of(error)
                metrics.run_again(cause)
                logger.info("%s %s is run again: %s", request.method, path_template(request), cause)
                await asyncio.sleep(backoff(attempt, first=FIRST_BACKOFF, longest=LONGEST_BACKOFF))
        raise AssertionError("the last attempt returns or raises")

    return run


def _may_succeed_again(error: SQLAlchemyError, attempt: int) -> bool:
    if needs_fresh_session(error) or is_duplicate_slug(error):
        return attempt == 1  # one more run shows whether a fresh session, or another slug, was all that it needed
    return is_transient(error) or is_broken_connection(error)


async def _run_once(answer: Handler, request: Request, deadline: float, keeps_connection: bool) -> Response:
    """Run a route with sessions of its own, which are committed when this returns.

    The deadline ends the work, which is then rolled back, but never its commit: nobody would know what became of it.
    """
    async with RouteRun(request, deadline, keeps_connection=keeps_connection) as run:
        request.state.route_run = run
        async with run.time_limit:
            return await answer(request)


async def _read_body(request: Request) -> None:
    """Before the clock starts, so that a slow client has all the time it needs. Whoever comes later finds it read."""
    if request.method == "GET":  # has none that anyone looks at
        return
    try:
        body = await request.body()
    except ClientDisconnect as error:
        raise HTTPException(400, HUNG_UP) from error
    if body:
        refuse_compressed(request)


def refuse_compressed(request: Request) -> None:
    """
    Raises:
        HTTPException: The body is compressed.
    """
    if request.headers.get("Content-Encoding", "identity").strip().lower() not in ("identity", ""):
        raise HTTPException(415, COMPRESSED_BODY, {"Accept-Encoding": "identity"})
