"""What streams of events log: the poll that they share belongs to no request, also not to the one that it began in."""

import asyncio

import pytest

from api.database.sessions import Database
from api.telemetry import context
from api.web import event_streams
from api.web.event_streams import EventStreams, Stream


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_the_shared_poll_has_no_id_of_a_request(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_streams, "RIGHTS_INTERVAL", 0.0)
    ids: asyncio.Queue[tuple[str | None, str | None]] = asyncio.Queue()

    async def tokens_of_staff(_: Database, tokens: set[int]) -> set[int]:
        await ids.put((context.request_id.get(), context.trace_id.get()))
        return tokens

    streams = EventStreams(tokens_of_staff)
    set_before = context.request_id.set("of the first request"), context.trace_id.set("its trace")
    streams.add(Stream(1, 0, None), database)
    context.request_id.reset(set_before[0])
    context.trace_id.reset(set_before[1])
    try:
        async with asyncio.timeout(30):
            assert await ids.get() == (None, None)
    finally:
        await streams.close()
