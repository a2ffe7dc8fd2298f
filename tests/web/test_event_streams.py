"""Streams of events: they share one poll, are bounded, and end when their token does."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import Any, NoReturn

import pytest
from httpx import AsyncClient
from sqlmodel import col, delete, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth.callers import tokens_of_staff
from api.database.sessions import Database
from api.errors import Unavailable
from api.models.event import EventType
from api.models.token import Token
from api.models.user import User
from api.reads import feed
from api.web import event_streams
from api.web.event_streams import EventStreams, Stream
from tests.factories import an_event
from tests.support import count_statements

WITHIN = 20
"""Seconds for what is bound to happen, on a machine with other things to do."""


@pytest.fixture
async def streams() -> AsyncIterator[EventStreams]:
    streams = EventStreams(tokens_of_staff)
    yield streams
    await streams.close()


@asynccontextmanager
async def opened(
    streams: EventStreams, database: Database, token_id: int = 0, after: int = 0, only: EventType | None = None
) -> AsyncIterator[AsyncIterator[bytes]]:
    """The parts of a new stream, as its answer sends them."""
    stream = Stream(token_id, after, only)
    streams.add(stream, database)
    async with aclosing(streams.parts(stream, database)) as parts:
        assert await anext(parts) == b"retry: 2000\n\n"
        try:
            yield parts
        finally:
            streams.remove(stream)


async def ids(parts: AsyncIterator[bytes], how_many: int) -> list[int]:
    """The cursors of the next events."""
    found: list[int] = []
    async with asyncio.timeout(WITHIN):
        while len(found) < how_many:
            lines = (await anext(parts)).decode().splitlines()
            found += [int(line.removeprefix("id: ")) for line in lines if line.startswith("id: ")]
    return found


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN):
        while not holds():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.05)


@pytest.fixture
async def token_id(as_staff: AsyncClient) -> int:
    """The token of a key of staff."""
    made = await as_staff.post("/auth/keys", json={"name": "Stream"})
    return int(made.json()["id"])


async def test_a_stream_has_what_there_was_and_then_what_comes(
    streams: EventStreams, database: Database, session: AsyncSession, token_id: int
) -> None:
    for position in range(1, 251):
        await an_event(session, position=position)
    async with opened(streams, database, token_id, after=20) as parts:
        assert await ids(parts, 230) == list(range(21, 251))
        for position in (251, 252):
            await an_event(session, position=position)
            assert await ids(parts, 1) == [position]


async def test_what_is_sent_is_what_the_list_answers(
    streams: EventStreams, database: Database, session: AsyncSession, as_staff: AsyncClient, token_id: int
) -> None:
    await an_event(session, position=1, type=EventType.STOCK_LOW)
    listed = (await as_staff.get("/events")).text
    async with opened(streams, database, token_id) as parts:
        async with asyncio.timeout(WITHIN):
            sent = (await anext(parts)).decode().split("\n")
    fields = dict(line.split(": ", 1) for line in sent if line)
    assert (fields["id"], fields["event"]) == ("1", "stock.low")
    assert f"[{fields['data']}]" in listed


async def test_one_type_is_followed_through_others(
    streams: EventStreams, database: Database, session: AsyncSession, token_id: int
) -> None:
    for position in range(1, 6):
        await an_event(session, position=position)
    await an_event(session, position=6, type=EventType.STOCK_LOW)
    async with opened(streams, database, token_id, only=EventType.STOCK_LOW) as parts:
        assert await ids(parts, 1) == [6]
        await an_event(session, position=7)
        await an_event(session, position=8, type=EventType.STOCK_LOW)
        assert await ids(parts, 1) == [8]


async def test_many_streams_share_the_statements_of_one(
    streams: EventStreams, database: Database, session: AsyncSession, token_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_streams, "RIGHTS_INTERVAL", 3600.0)
    async with AsyncExitStack() as stack:
        many = [await stack.enter_async_context(opened(streams, database, token_id)) for _ in range(30)]
        waiting = [asyncio.create_task(ids(parts, 1)) for parts in many]
        await asyncio.sleep(3 * event_streams.POLL_INTERVAL)
        with count_statements(database) as statements:
            await an_event(session, position=1)
            assert await asyncio.gather(*waiting) == [[1]] * 30
    assert len(statements) < 30, "they read it one by one"


async def test_nothing_is_asked_where_no_stream_is_open(
    streams: EventStreams, database: Database, token_id: int
) -> None:
    async with opened(streams, database, token_id):
        assert streams.is_polling
    await until(lambda: not streams.is_polling)


async def test_who_is_behind_misses_nothing(
    streams: EventStreams, database: Database, session: AsyncSession, token_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither where a look finds more than it keeps, nor where a client reads slowly."""
    monkeypatch.setattr(event_streams, "LOOK", 3)
    monkeypatch.setattr(event_streams, "BATCH", 2)
    async with opened(streams, database, token_id) as slow, opened(streams, database, token_id) as quick:
        for position in range(1, 36):
            await an_event(session, position=position)
        assert await ids(quick, 35) == list(range(1, 36))
        await an_event(session, position=36)
        assert await ids(quick, 1) == [36]
        assert await ids(slow, 36) == list(range(1, 37))


async def test_an_event_that_was_erased_is_not_sent_any_more(
    streams: EventStreams, database: Database, session: AsyncSession, token_id: int
) -> None:
    async with opened(streams, database, token_id) as first:
        erased = await an_event(session, position=1)
        assert await ids(first, 1) == [1]
        await session.delete(erased)
        await session.flush()
        await an_event(session, position=2)
        assert await ids(first, 1) == [2]
        async with opened(streams, database, token_id) as second:
            assert await ids(second, 1) == [2]


@pytest.mark.parametrize("lost", ["the token", "the right", "the account"])
async def test_a_stream_ends_with_what_allowed_it(
    streams: EventStreams, database: Database, session: AsyncSession, staff: User, token_id: int, lost: str
) -> None:
    async with opened(streams, database, token_id) as parts:
        if lost == "the token":
            await session.exec(delete(Token).where(col(Token.id) == token_id))
        elif lost == "the right":
            await session.exec(update(User).where(col(User.id) == staff.id).values(is_superuser=False))
        else:
            await session.exec(update(User).where(col(User.id) == staff.id).values(is_active=False))
        async with asyncio.timeout(WITHIN):
            assert [each async for each in parts] == []


def refuse() -> NoReturn:
    """As a database does that is away."""
    raise Unavailable("The database is unreachable.")


async def test_a_database_that_does_not_answer_ends_no_stream(
    streams: EventStreams, database: Database, session: AsyncSession, token_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(streams, database, token_id) as parts:
        with monkeypatch.context() as broken:
            broken.setattr(database, "connection", refuse)
            broken.setattr(database, "reads", refuse)
            await an_event(session, position=1)
            await asyncio.sleep(2 * event_streams.POLL_INTERVAL)
        assert await ids(parts, 1) == [1]


async def test_a_stream_whose_own_read_failed_tries_again_soon(
    streams: EventStreams, database: Database, session: AsyncSession, token_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_streams, "HEARTBEAT", 3600.0)
    await an_event(session, position=1)
    fetch, failures = feed.fetch_feed, [1, 2]

    async def fail_twice(*args: Any) -> Any:
        if failures and event_streams.BATCH in args:
            failures.pop()
            refuse()
        return await fetch(*args)

    monkeypatch.setattr(event_streams, "fetch_feed", fail_twice)
    async with opened(streams, database, token_id) as parts:
        assert await ids(parts, 1) == [1]
    assert not failures


async def test_a_stream_that_asks_while_the_first_look_ends_misses_nothing(
    streams: EventStreams, database: Database, session: AsyncSession, token_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session takes a moment to give back its connection: where the feed ends is known by then."""
    await an_event(session, position=1)
    reads, found = database.reads, asyncio.Event()

    @asynccontextmanager
    async def slowly_closed() -> AsyncIterator[AsyncSession]:
        async with reads() as session:
            yield session
            found.set()
            await asyncio.sleep(0.2)

    monkeypatch.setattr(database, "reads", slowly_closed)
    async with opened(streams, database, token_id) as parts:
        await found.wait()
        assert await ids(parts, 1) == [1]


async def test_a_silent_stream_sends_comments(
    streams: EventStreams, database: Database, token_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_streams, "HEARTBEAT", 0.1)
    async with opened(streams, database, token_id) as parts, asyncio.timeout(WITHIN):
        assert await anext(parts) == b": ping\n\n"


class TestRoute:
    async def test_a_stream_is_told_apart_by_its_headers(self, as_staff: AsyncClient) -> None:
        answer = await as_staff.get("/events/stream")
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-accel-buffering"] == "no"
        assert answer.content == b"retry: 2000\n\n"

    async def test_a_head_opens_no_stream(self, as_staff: AsyncClient) -> None:
        answer = await as_staff.head("/events/stream")
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-type"].startswith("text/event-stream")

    async def test_what_is_no_cursor_is_refused(self, as_staff: AsyncClient) -> None:
        answer = await as_staff.get("/events/stream", headers={"Last-Event-ID": "abc"})
        assert answer.status_code == 422

    async def test_more_streams_than_a_server_bears_are_refused(
        self, as_staff: AsyncClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(event_streams, "MAX_STREAMS", 0)
        answer = await as_staff.get("/events/stream")
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "10"
