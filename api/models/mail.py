"""Mails: what the shop writes to people. The worker sends them, and staff see what became of each."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import AwareDatetime
from pydantic import Field as Limits
from sqlmodel import Field, Index, UniqueConstraint

from api.models.base import NotAudited, Schema, one_of
from api.models.columns import EnumValue
from api.models.event import EventType
from api.models.outgoing import Attempts, Outgoing, OutgoingError, OutgoingState, OutgoingStatus
from api.models.texts import LINE
from api.models.types import SECRET, Id
from api.models.user import Password

MailTopic = Annotated[
    str,
    Limits(max_length=80, description="What it tells of: of one thing, mails come in order.", examples=["orders/7"]),
]

MailAddress = Annotated[str | None, Limits(max_length=254)]
LinkHash = Annotated[str | None, Limits(max_length=64)]


class MailKind(StrEnum):
    """Each has a template of text and one of HTML by its name."""

    ORDER_CONFIRMED = "order_confirmed"
    ORDER_SHIPPED = "order_shipped"
    ORDER_CANCELLED = "order_cancelled"
    PAYMENT_REFUNDED = "payment_refunded"
    PASSWORD_RESET = "password_reset"  # noqa: S105
    EMAIL_CONFIRMATION = "email_confirmation"
    EMAIL_CHANGED = "email_changed"
    REGISTRATION = "registration"
    ACCOUNT_EXISTS = "account_exists"
    WEBHOOK_DISABLED = "webhook_disabled"


KINDS_OF_EVENTS = {
    EventType.ORDER_CONFIRMED: MailKind.ORDER_CONFIRMED,
    EventType.ORDER_SHIPPED: MailKind.ORDER_SHIPPED,
    EventType.ORDER_CANCELLED: MailKind.ORDER_CANCELLED,
    EventType.PAYMENT_REFUNDED: MailKind.PAYMENT_REFUNDED,
}
"""The mail that a customer gets of each type of event; of the others none."""

LINK_KINDS = (MailKind.PASSWORD_RESET, MailKind.EMAIL_CONFIRMATION, MailKind.REGISTRATION)
"""Mails with a link that holds a secret."""


class MailBase(Schema):
    """A client writes none."""

    kind: Annotated[MailKind, Limits(examples=["order_confirmed"])] = Field(sa_type=EnumValue(MailKind))


class Mail(MailBase, Outgoing, table=True):
    """Written in the transaction of what it tells of. What it says and its secret are made when it goes."""

    __tablename__ = "mails"
    not_audited: ClassVar[NotAudited] = "it tells of what has an entry, and the worker keeps notes in it"
    receiver: ClassVar[str] = "user_id"
    topic: ClassVar[str] = "about"
    __table_args__ = (
        UniqueConstraint("event_id", "kind"),
        one_of("kind", MailKind),
        one_of("status", OutgoingStatus),
        Index(None, "user_id", "status"),
        Index(None, "status", "due_at"),
    )

    user_id: Id | None = Field(default=None, foreign_key="users.id", ondelete="CASCADE")
    """Null where somebody asked for the password of nobody, since the request does the same work, and where somebody
    is no user yet."""
    registration_id: Id | None = Field(default=None, foreign_key="registrations.id", ondelete="CASCADE", index=True)
    """What its link confirms, with which it goes; null once that is confirmed."""
    about: MailTopic
    address: MailAddress = None
    """Where it goes, if that is not the address that the user has when it is sent."""
    token_hash: LinkHash = Field(default=None, unique=True)
    """Of the secret in its link; null before it is sent, and once the link is used or void."""
    token_expires_at: AwareDatetime | None = None


class MailRead(MailBase):
    id: Id
    user_id: Id | None
    event_id: Id | None
    about: MailTopic
    status: OutgoingState
    attempts: Attempts
    due_at: datetime
    sent_at: datetime | None
    error: OutgoingError
    created_at: datetime


LinkToken = Annotated[
    str, SECRET, Limits(min_length=1, max_length=100, examples=["Zk3v9QeXAMPLEeXAMPLEeXAMPLEeXAMPLEeXAMPLE0"]), LINE
]


class PasswordResetRequest(Schema):
    login: Annotated[
        str,
        Limits(
            min_length=1, max_length=254, description="A username or e-mail address.", examples=["john@example.com"]
        ),
        LINE,
    ]


class PasswordReset(Schema):
    token: LinkToken
    new_password: Annotated[Password, Limits(examples=["SaferPass456"])]


class EmailConfirmation(Schema):
    token: LinkToken


class MailPromised(Schema):
    """The answer to whoever asks for a mail; it says nothing of who has an account."""

    message: Annotated[str, Limits(examples=["If there is such an account, a mail with a link is on its way."])]
