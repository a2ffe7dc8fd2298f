"""What happened in the shop, for programs that follow it: each event once, in an order that stays. Staff read it.

Events come up within a second, and are kept for thirty days. Of one row they come in the order in which they happened.
"""

from typing import Annotated, Any

from fastapi import Header, Query, Request
from pydantic import BaseModel, Field
from sqlmodel import col, select
from starlette.responses import Response, StreamingResponse

from api.auth.callers import Staff
from api.models.event import Event, EventRead, EventType
from api.reads.feed import read_feed
from api.reads.rows import Read
from api.web.app_state import AppDatabase
from api.web.dispatch import is_head
from api.web.event_streams import HEADERS, MEDIA_TYPE, EventStreamResponse, EventStreams, Stream
from api.web.pagination import Feed
from api.web.problems import problems
from api.web.routing import Router

router = Router("/events", tag="events")

MAX_EVENTS = 500
"""Events of one answer: most are smaller than a kilobyte."""


CURSOR_PATTERN = "^[0-9]{1,18}$"


class EventFilter(BaseModel):
    cursor: str | None = Field(
        default=None,
        pattern=CURSOR_PATTERN,
        description="The `next_cursor` of the last answer; without one, the feed begins with the oldest that is kept.",
        examples=["57"],
    )
    type: EventType | None = Field(default=None, description="Only events of this type.")


class EventList(EventFilter):
    limit: int = Field(default=100, ge=1, le=MAX_EVENTS, description="Events at most.")


LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        pattern=CURSOR_PATTERN,
        description="The `id` of the last event that was received. It counts instead of `cursor`.",
        examples=["57"],
    ),
]

EXAMPLE = 'id: 57\nevent: stock.low\ndata: {"id": 60, "type": "stock.low", …}\n\n'
STREAM: dict[str, Any] = {MEDIA_TYPE: {"schema": {"type": "string", "examples": [EXAMPLE]}}}


@router.get("", response_model=Feed[EventRead])
async def list_events(staff: Staff, query: Annotated[EventList, Query()]) -> Read:
    """List events, the oldest first. To follow the feed, ask again and again, with each `next_cursor`.

    It is given also where there is no event yet. Each program keeps the one that it has read to.
    """
    events = select(Event)
    if query.type is not None:
        events = events.where(Event.type == query.type)
    return read_feed(events, col(Event.position), after=int(query.cursor or 0), limit=query.limit)


@router.get("/stream", response_class=Response, responses={200: {"content": STREAM}, **problems(503)})
async def stream_events(
    request: Request,
    staff: Staff,
    query: Annotated[EventFilter, Query()],
    database: AppDatabase,
    last_event_id: LastEventId = None,
) -> StreamingResponse:
    """Follow the events as they come, as server-sent events, each with its cursor as its `id`.

    `data` is what `GET /events` answers. A stream has no end, and comments keep it open. It is closed when the server
    stops, and when the token is revoked or its user is no longer staff. Clients of server-sent events then connect
    again and send `Last-Event-ID`, so that they get each event once.
    """
    if is_head(request):
        return StreamingResponse((), headers=HEADERS, media_type=MEDIA_TYPE)
    streams: EventStreams = request.app.state.event_streams
    stream = Stream(staff.token_id, int(last_event_id or query.cursor or 0), query.type)
    return EventStreamResponse(streams, stream, database)
