"""Events as they come, for programs that stay connected: server-sent events, as the HTML standard has them.

All streams of a process share one poll of the feed, which runs only while a stream is open. They send what its last
look found. A stream that is further behind reads the feed itself, at its own pace. So a stream holds no connection
while it waits, and no more memory than one batch. No event is kept here beyond the next look: one that tells of a
person is erased with that person.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from contextvars import Context
from typing import Any

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from sqlalchemy import Select
from sqlmodel import col, func, select
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.database.errors import DATABASE_ERRORS
from api.database.sessions import Database
from api.database.time_limits import TimeLimit
from api.errors import ShopError, Unavailable
from api.models.event import Event, EventRead, EventType
from api.reads.feed import Placed, fetch_feed

logger = logging.getLogger(__name__)

MAX_STREAMS = 100
"""Open streams of one process: each is a connection of its server, and at most one batch in memory."""

BATCH = 100
"""Events that a stream reads and sends at once: most are smaller than a kilobyte."""

LOOK = 500
"""Events that one look finds at most. Where there are more, the next one follows at once."""

POLL_INTERVAL = 0.5
"""Seconds between two looks at the feed, which is about how often the worker adds to it."""

POLL_TIMEOUT = 5.0
"""Seconds for one look, where the database is silent."""

RIGHTS_INTERVAL = 2.0
"""Seconds after which the tokens of all streams are looked up again, by one statement."""

HEARTBEAT = 15.0
"""Seconds of silence after which a comment is sent: proxies close what is silent for 30 or 60."""

RETRY = 2_000
"""Milliseconds after which a client connects again. Only the first part of a stream says so."""

BACKLOG_READS = 2
"""Streams that read the feed themselves at one moment; requests have the other connections of the pool."""

OPEN_STREAM = "shop.open_stream"
"""The key in a scope of the stream that is its answer, which ends when the server stops."""

MEDIA_TYPE = "text/event-stream"

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""No proxy keeps a part back; the second is how nginx is told."""

FAILURES = (*DATABASE_ERRORS, ShopError, TimeoutError)

TokensOfStaff = Callable[[Database, set[int]], Awaitable[set[int]]]
"""Returns which of some tokens are valid and belong to staff. `main` sets it, because `web` must not import `auth`."""


class Stream:
    """One client: what it has been sent, and what it wants."""

    def __init__(self, token_id: int, after: int, only: EventType | None) -> None:
        self.token_id = token_id
        self.after = after
        self.only = only
        self.ended = False
        self.wake = asyncio.Event()

    def end(self) -> None:
        """Have it end after what is being sent. The client connects again, and goes on where it was."""
        self.ended = True
        self.wake.set()


class EventStreams:
    """The open streams of a process, and the poll that they share."""

    def __init__(self, tokens_of_staff: TokensOfStaff) -> None:
        self._tokens_of_staff = tokens_of_staff
        self._open: set[Stream] = set()
        self._poll: asyncio.Task[None] | None = None
        self._news: list[Placed] = []
        """What the last look found: every event after one position, up to the head."""
        self._news_after = 0
        self._head: int | None = None
        """The position of the newest event that was found; null until the first look."""
        self._reading = asyncio.Semaphore(BACKLOG_READS)

    @property
    def is_polling(self) -> bool:
        """Whether the feed is looked at, as while a stream is open."""
        return self._poll is not None and not self._poll.done()

    def add(self, stream: Stream, database: Database) -> None:
        """
        Raises:
            Unavailable: So many are open already.
        """
        if len(self._open) >= MAX_STREAMS:
            raise Unavailable(f"This server has {MAX_STREAMS} streams open already. Try again later.", retry_after=10)
        self._open.add(stream)
        if not self.is_polling:
            self._news, self._head = [], None
            # It outlives the request that it is begun in, whose id would stand in its lines.
            self._poll = asyncio.create_task(self._look_again_and_again(database), context=Context())

    def remove(self, stream: Stream) -> None:
        self._open.discard(stream)

    async def close(self) -> None:
        if self._poll is not None:
            self._poll.cancel()
            await asyncio.wait([self._poll])

    async def parts(self, stream: Stream, database: Database) -> AsyncGenerator[bytes]:
        """What a client is sent, until its stream is ended."""
        yield format_sse_event(retry=RETRY)
        while not stream.ended:
            stream.wake.clear()
            if found := await self._next(stream, database):
                yield b"".join(format_sse_event(id=str(at), event=kind, data_str=text) for text, at, kind in found)
                continue
            try:
                async with asyncio.timeout(HEARTBEAT):
                    await stream.wake.wait()
            except TimeoutError:
                yield KEEPALIVE_COMMENT

    async def _next(self, stream: Stream, database: Database) -> list[Placed]:
        """The next events of a stream; none where there are none yet, or where the database does not answer."""
        if self._head is None:
            return []
        if stream.after < self._news_after:
            with suppress(*FAILURES):
                return await self._read(stream, database, self._head)
            return []
        found = [each for each in self._news if each[1] > stream.after and stream.only in (None, each[2])]
        stream.after = found[BATCH - 1][1] if len(found) > BATCH else max(stream.after, self._head)
        return found[:BATCH]

    async def _read(self, stream: Stream, database: Database, head: int) -> list[Placed]:
        """What a stream reads itself. A batch that is not full reaches to what was the head before."""
        events = select(Event) if stream.only is None else select(Event).where(Event.type == stream.only)
        async with self._reading, TimeLimit.of(POLL_TIMEOUT):
            found = await _fetch(database, events, stream.after, BATCH)
        last = found[-1][1] if found else stream.after
        stream.after = last if len(found) == BATCH else max(last, head)
        return found or await self._next(stream, database)

    async def _look_again_and_again(self, database: Database) -> None:
        clock = asyncio.get_running_loop().time
        rights_at, failed = clock() + RIGHTS_INTERVAL, False
        try:
            while self._open:
                found = 0
                try:
                    async with TimeLimit.of(POLL_TIMEOUT):
                        if clock() >= rights_at:
                            await self._end_those_without_rights(database)
                            rights_at = clock() + RIGHTS_INTERVAL
                        found = await self._look(database)
                    failed = False
                    self._wake_those_behind()
                except FAILURES as error:
                    if not failed:
                        logger.warning("the streams of events wait for the database: %s", type(error).__name__)
                    failed = True
                if found < LOOK:
                    await asyncio.sleep(POLL_INTERVAL)
        finally:  # an error that nobody expected too: clients connect again
            for each in self._open:
                each.end()

    def _wake_all(self) -> None:
        for each in self._open:
            each.wake.set()

    def _wake_those_behind(self) -> None:
        """Some may not have been able to read the feed."""
        for each in self._open:
            if each.after < self._news_after:
                each.wake.set()

    async def _look(self, database: Database) -> int:
        """Find what is new, and return how many events that are. The first look finds where the feed ends."""
        if self._head is None:
            async with database.reads() as session:
                head = (await session.exec(select(func.max(col(Event.position))))).one() or 0
            self._head = self._news_after = head  # at once: a stream that asks in between would take the feed for read
            self._wake_all()
            return 0
        found = await _fetch(database, select(Event), self._head, LOOK)
        self._news, self._news_after = found, self._head
        if found:
            self._head = found[-1][1]
            self._wake_all()
        return len(found)

    async def _end_those_without_rights(self, database: Database) -> None:
        allowed = await self._tokens_of_staff(database, {each.token_id for each in self._open})
        for each in self._open:
            if each.token_id not in allowed:
                each.end()


async def _fetch(database: Database, events: Select[Any], after: int, limit: int) -> list[Placed]:
    async with database.connection() as connection:
        return await fetch_feed(connection, events, col(Event.position), EventRead, after, limit, col(Event.type))


class EventStreamResponse(StreamingResponse):
    """The answer that is a stream. FastAPI's own belongs to routes that yield what it then writes as JSON again."""

    def __init__(self, streams: EventStreams, stream: Stream, database: Database) -> None:
        super().__init__(streams.parts(stream, database), headers=HEADERS, media_type=MEDIA_TYPE)
        self._streams, self._stream, self._database = streams, stream, database

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Raises:
            Unavailable: So many streams are open already.
        """
        self._streams.add(self._stream, self._database)
        scope[OPEN_STREAM] = self._stream
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._streams.remove(self._stream)
