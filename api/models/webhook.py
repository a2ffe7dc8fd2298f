"""Webhooks: where other programs want to be told of events, instead of asking for them."""

import base64
import secrets
from datetime import datetime, timedelta
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, AwareDatetime
from pydantic import Field as Limits
from sqlmodel import JSON, Field

from api.models.base import NotAudited, Schema, utcnow
from api.models.event import EventSubject, EventType, SomeType
from api.models.texts import LINE
from api.models.types import ABSENT, SECRET, Id, IsActive
from api.models.urls import Url
from api.models.versioned import Versioned

SECRET_PREFIX = "whsec_"  # noqa: S105 - what every secret of Standard Webhooks begins with
SECRET_BYTES = 32

OLD_SECRET_LIFETIME = timedelta(hours=24)
"""After a rotation, so that a receiver may learn the new one meanwhile."""


def _without_repetition(types: list[EventType]) -> list[EventType]:
    return sorted(set(types))


WebhookDescription = Annotated[str | None, Limits(max_length=200, examples=["The warehouse"]), LINE]
WebhookTypes = Annotated[
    list[SomeType],
    Limits(
        max_length=len(EventType) * 2,
        description="The types of events that it is told of; an empty list means all.",
        examples=[["order.confirmed", "order.cancelled"]],
    ),
    AfterValidator(_without_repetition),
]
WebhookSecret = Annotated[
    str,
    SECRET,
    Limits(
        max_length=64,
        description="What its deliveries are signed with (Standard Webhooks).",
        examples=["whsec_EXAMPLEeXAMPLEeXAMPLEeXAMPLEeXAMPLEeXAMPLE0="],
    ),
]
OldSecret = Annotated[str | None, SECRET, Limits(max_length=64)]
Reason = Annotated[
    str | None,
    Limits(max_length=200, description="Why the shop disabled it; null where staff did.", examples=[None]),
]
Failures = Annotated[
    int, Limits(ge=0, description="How often it has failed since it last took a delivery.", examples=[0])
]


class WebhookBase(Schema):
    """What a client may write."""

    url: Url
    description: WebhookDescription = None
    types: WebhookTypes = []


class Webhook(WebhookBase, Versioned, table=True):
    """A receiver of events. Its secret has to be stored as it is, because each delivery is signed with it."""

    __tablename__ = "webhooks"
    not_audited: ClassVar[NotAudited] = dict.fromkeys(
        ("failures", "failing_since", "paused_until", "old_secret_until"), "the worker's own notes"
    )
    edited: ClassVar[tuple[str, ...]] = ("is_active",)

    id: Id = Field(default=None, primary_key=True)
    types: WebhookTypes = Field(default_factory=list, sa_type=JSON)
    is_active: IsActive = Field(default=True)
    secret: WebhookSecret
    old_secret: OldSecret = None
    old_secret_until: AwareDatetime | None = None
    failures: Failures = Field(default=0)
    failing_since: AwareDatetime | None = None
    paused_until: AwareDatetime | None = None
    """Nothing is sent to it until then, because it failed."""
    disabled_at: AwareDatetime | None = None
    disabled_reason: Reason = None

    @property
    def called(self) -> str:
        """What people call it: by its host alone, because the rest of a URL may hold a secret."""
        names = (self.description, urlsplit(self.url).hostname)
        return f"webhook {self.id} ({', '.join(filter(None, names))})"

    def wants(self, happened: EventType) -> bool:
        """Whether it is told of events of a type."""
        return not self.types or happened in self.types

    def secrets_at(self, now: datetime) -> list[str]:
        """The secrets to sign with; the old one beside the new one for a while."""
        is_old_valid = self.old_secret is not None and self.old_secret_until is not None and now < self.old_secret_until
        return [self.secret, *([self.old_secret] if is_old_valid and self.old_secret else [])]

    def rotate_secret(self) -> None:
        self.old_secret, self.old_secret_until = self.secret, utcnow() + OLD_SECRET_LIFETIME
        self.secret = new_secret()

    def forget_failures(self) -> None:
        """Have it begin anew, as somebody has edited it."""
        self.failures, self.failing_since, self.paused_until = 0, None, None
        self.disabled_at, self.disabled_reason = None, None


class WebhookCreate(WebhookBase):
    pass


class WebhookUpdate(Schema):
    url: Url = ABSENT
    description: WebhookDescription = ABSENT
    types: WebhookTypes = ABSENT
    is_active: IsActive = ABSENT


class WebhookRead(WebhookBase):
    id: Id
    is_active: IsActive
    failures: Failures
    failing_since: datetime | None
    paused_until: datetime | None
    disabled_at: datetime | None
    disabled_reason: Reason
    created_at: datetime
    updated_at: datetime


class WebhookReadOnce(WebhookRead):
    """The only answer that contains the secret."""

    secret: WebhookSecret


class WebhookTestEvent(Schema):
    """What a test delivers: an envelope like those of events. Its id is that of no event: a receiver may keep ids."""

    id: Annotated[Literal[0], Limits(description="0, because it is in no feed.", examples=[0])]
    type: Annotated[Literal["webhook.test"], Limits(examples=["webhook.test"])]
    timestamp: datetime
    subject: Annotated[EventSubject, Limits(examples=["webhooks/7"])]
    data: WebhookRead


def new_secret() -> str:
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
