"""Notifications: what a user should know."""

from datetime import datetime
from enum import StrEnum

from pydantic import AwareDatetime
from sqlmodel import Field

from api.models.base import Id, Schema, one_of, utcnow
from api.models.columns import Choice


class NotificationKind(StrEnum):
    ORDER_PLACED = "order_placed"
    ORDER_CONFIRMED = "order_confirmed"
    ORDER_SHIPPED = "order_shipped"
    ORDER_DELIVERED = "order_delivered"
    ORDER_CANCELLED = "order_cancelled"
    PAYMENT_RECEIVED = "payment_received"
    PAYMENT_REFUNDED = "payment_refunded"
    CREDIT_RECEIVED = "credit_received"


class NotificationBase(Schema):
    """A client writes none: they come with what they tell of."""

    kind: NotificationKind = Field(sa_type=Choice(NotificationKind))
    message: str = Field(max_length=500, schema_extra={"examples": ["Your order ORD-7K2M-9QX4-T0BV is on its way."]})


class Notification(NotificationBase, table=True):
    """Written in a savepoint: what it tells of stands even where the notification fails."""

    __tablename__ = "notifications"
    __table_args__ = (one_of("kind", NotificationKind),)

    id: Id = Field(default=None, primary_key=True)
    user_id: Id = Field(foreign_key="users.id", ondelete="CASCADE", index=True)
    order_id: Id | None = Field(default=None, foreign_key="orders.id", ondelete="RESTRICT", index=True)
    read_at: AwareDatetime | None = None
    created_at: AwareDatetime = Field(default_factory=utcnow)


class NotificationRead(NotificationBase):
    id: Id
    order_id: Id | None
    read_at: datetime | None
    created_at: datetime
