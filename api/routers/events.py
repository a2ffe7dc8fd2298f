"""What happened in the shop, for programs that follow it: each event once, in an order that stays. Staff read it.

Events come up within a second, and are kept for thirty days. Of one row they come in the order in which they happened.
"""

from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, Field
from sqlmodel import col, select

from api.auth.callers import Staff
from api.models.event import Event, EventRead, EventType
from api.reads.feed import read_feed
from api.reads.rows import Read
from api.web.pagination import Feed
from api.web.routing import Router

router = Router("/events", tag="events")

MAX_EVENTS = 500
"""Events of one answer: most are smaller than a kilobyte."""


class EventList(BaseModel):
    cursor: str | None = Field(
        default=None,
        pattern="^[0-9]{1,18}$",
        description="The `next_cursor` of the last answer; without one, the feed begins with the oldest that is kept.",
        examples=["57"],
    )
    limit: int = Field(default=100, ge=1, le=MAX_EVENTS, description="Events at most.")
    type: EventType | None = Field(default=None, description="Only events of this type.")


@router.get("", response_model=Feed[EventRead])
async def list_events(staff: Staff, query: Annotated[EventList, Query()]) -> Read:
    """List events, the oldest first. To follow the feed, ask again and again, with each `next_cursor`.

    It is given also where there is no event yet. Each program keeps the one that it has read to.
    """
    events = select(Event)
    if query.type is not None:
        events = events.where(Event.type == query.type)
    return read_feed(events, col(Event.position), after=int(query.cursor or 0), limit=query.limit)
