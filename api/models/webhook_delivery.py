"""Deliveries: which event is sent to which webhook, and what became of it."""

from datetime import datetime
from typing import Annotated, ClassVar, Self

from pydantic import Field as Limits
from sqlalchemy import ColumnElement
from sqlmodel import Field, Index, UniqueConstraint, and_, col, select

from api.models.base import Schema, one_of
from api.models.event import EventSubject
from api.models.outgoing import Attempts, Outgoing, OutgoingError, OutgoingState, OutgoingStatus
from api.models.types import Id, Time
from api.models.webhook import Webhook

FOLLOWER = "webhooks"
"""The row of `jobs` that says to which event deliveries have been written."""

HttpStatus = Annotated[int | None, Limits(ge=100, le=999, description="What its server answered last.", examples=[204])]
Duration = Annotated[
    int | None, Limits(ge=0, le=3_600_000, description="Milliseconds that the last attempt took.", examples=[85])
]

EventId = Annotated[Id | None, Limits(description="The event that it tells of; null for a test.")]


class WebhookDelivery(Outgoing, table=True):
    """An event, or a test, for a webhook. Deliveries of one subject are sent to it in the order of their ids."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        one_of("status", OutgoingStatus),
        UniqueConstraint("event_id", "webhook_id"),
        Index(None, "status", "id"),
        Index(None, "webhook_id", "status", "id"),
        Index(None, "webhook_id", "subject", "status"),
    )
    receiver: ClassVar[str] = "webhook_id"
    topic: ClassVar[str] = "subject"

    event_id: Id | None = Field(default=None, foreign_key="events.id", ondelete="CASCADE")
    """Null for a test, so that neither the feed nor another webhook has it."""
    webhook_id: Id = Field(foreign_key="webhooks.id", ondelete="CASCADE")
    subject: EventSubject
    http_status: HttpStatus = None
    duration: Duration = None

    @classmethod
    def test_of(cls, webhook: Webhook) -> Self:
        """A test, which staff ask for; what it says is made when it is sent."""
        return cls(webhook_id=webhook.id, subject=f"webhooks/{webhook.id}")

    @property
    def is_test(self) -> bool:
        return self.event_id is None

    @property
    def message_id(self) -> str:
        """The id under which a receiver gets it, again and again if need be."""
        return f"test_{self.id}" if self.is_test else f"evt_{self.event_id}"

    @classmethod
    def is_awaited(cls) -> ColumnElement[bool]:
        """A webhook that is disabled waits for nothing."""
        # A list of webhooks, and no EXISTS for each delivery, so that the index of a webhook's pending ones is used.
        active = select(Webhook.id).where(col(Webhook.is_active))
        return and_(super().is_awaited(), col(cls.webhook_id).in_(active))


class WebhookDeliveryRead(Schema):
    id: Id
    webhook_id: Id
    event_id: EventId
    subject: EventSubject
    status: OutgoingState
    attempts: Attempts
    due_at: datetime
    http_status: HttpStatus
    duration: Duration
    error: OutgoingError
    created_at: datetime
    sent_at: datetime | None


class WebhookReplay(Schema):
    """A request to send events again."""

    since: Annotated[Time, Limits(description="Events that happened then or later.")]
    until: Annotated[Time | None, Limits(description="And before then, if it is given.")] = None


class WebhookReplayed(Schema):
    """How many events are sent again."""

    events: Annotated[int, Limits(ge=0, examples=[12])]
