"""Notifications: what a user should know."""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import AwareDatetime
from pydantic import Field as Limits
from sqlalchemy import ColumnElement
from sqlmodel import Field, Index, col

from api.models.base import NotAudited, Schema, one_of, utcnow
from api.models.columns import EnumValue
from api.models.texts import LINE
from api.models.types import Id

if TYPE_CHECKING:
    from api.models.user import Caller

MAX_MESSAGE_LENGTH = 500

Message = Annotated[
    str, Limits(max_length=MAX_MESSAGE_LENGTH, examples=["Your order ORD-7K2M-9QX4-T0BV is on its way."]), LINE
]


class NotificationKind(StrEnum):
    ORDER_PLACED = "order_placed"
    ORDER_CONFIRMED = "order_confirmed"
    ORDER_SHIPPED = "order_shipped"
    ORDER_DELIVERED = "order_delivered"
    ORDER_CANCELLED = "order_cancelled"
    PAYMENT_RECEIVED = "payment_received"
    PAYMENT_REFUNDED = "payment_refunded"
    CREDIT_RECEIVED = "credit_received"
    WEBHOOK_DISABLED = "webhook_disabled"


class NotificationBase(Schema):
    """A client writes none: the shop adds them beside the change that they tell of."""

    kind: NotificationKind = Field(sa_type=EnumValue(NotificationKind))
    message: Message


class Notification(NotificationBase, table=True):
    """Written in a savepoint: the change that it tells of stands even where the notification fails."""

    __tablename__ = "notifications"
    not_audited: ClassVar[NotAudited] = "it tells of a change that has an entry"
    __table_args__ = (one_of("kind", NotificationKind), Index(None, "user_id", "id"))

    id: Id = Field(default=None, primary_key=True)
    user_id: Id = Field(foreign_key="users.id", ondelete="CASCADE")
    order_id: Id | None = Field(default=None, foreign_key="orders.id", ondelete="RESTRICT", index=True)
    read_at: AwareDatetime | None = None
    created_at: AwareDatetime = Field(default_factory=utcnow)

    @classmethod
    def visible_to(cls, user: "Caller") -> ColumnElement[bool]:
        """The notifications of a user, as a condition: nobody else reads them, staff included."""
        return col(cls.user_id) == user.id


class NotificationRead(NotificationBase):
    id: Id
    order_id: Id | None
    read_at: datetime | None
    created_at: datetime
