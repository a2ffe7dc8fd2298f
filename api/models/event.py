"""Events: what happened in the shop, for other programs. They read it at `GET /events`."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import AwareDatetime
from pydantic import Field as Limits
from sqlmodel import JSON, Field, Index

from api.models.base import NotAudited, Schema, one_of, utcnow
from api.models.columns import EnumValue
from api.models.texts import LINE
from api.models.types import Id, JsonObject

EventSubject = Annotated[
    str,
    Limits(max_length=64, description="What it happened to: a path of the API.", examples=["users/7"]),
    LINE,
]
EventData = Annotated[
    JsonObject,
    Limits(
        description="The row as the API answered it at that moment; `webhooks` in this document says which fields.",
        examples=[{"id": 7}],
    ),
]


class EventType(StrEnum):
    ORDER_PLACED = "order.placed"
    ORDER_CONFIRMED = "order.confirmed"
    ORDER_SHIPPED = "order.shipped"
    ORDER_DELIVERED = "order.delivered"
    ORDER_CANCELLED = "order.cancelled"
    PAYMENT_RECEIVED = "payment.received"
    PAYMENT_REFUNDED = "payment.refunded"
    STOCK_LOW = "stock.low"
    USER_REGISTERED = "user.registered"
    USER_ERASED = "user.erased"


SomeType = Annotated[EventType, Limits(examples=["user.erased"])]


class EventBase(Schema):
    """A client writes none: what happens adds its own."""

    type: SomeType = Field(sa_type=EnumValue(EventType))
    subject: EventSubject


class Event(EventBase, table=True):
    """Written in the transaction of what it tells of, and given its place in the feed once that is committed."""

    __tablename__ = "events"
    __table_args__ = (one_of("type", EventType), Index(None, "type", "position"))
    not_audited: ClassVar[NotAudited] = "it is written once, and what it tells of has an entry"

    id: Id = Field(default=None, primary_key=True)
    data: dict[str, Any] = Field(sa_type=JSON)
    timestamp: AwareDatetime = Field(default_factory=utcnow)
    user_id: Id | None = Field(default=None, foreign_key="users.id", ondelete="CASCADE", index=True)
    """The person whom `data` tells of, and with whom it goes."""
    position: Id | None = Field(default=None, unique=True)
    """Its place in the feed. A transaction that takes long commits ids below those that a reader has seen already."""


class EventRead(Schema):
    """The envelope of every event, whichever way it is sent; its fields are those of Standard Webhooks."""

    id: Id
    type: SomeType
    timestamp: datetime
    subject: EventSubject
    data: EventData
