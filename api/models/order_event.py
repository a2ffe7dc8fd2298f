"""Order events: how an order came to its status."""

from datetime import datetime
from typing import ClassVar

from pydantic import AwareDatetime
from sqlmodel import Field

from api.models.base import NotAudited, Schema, one_of, utcnow
from api.models.columns import EnumValue
from api.models.order import OrderStatus
from api.models.types import Id


class OrderEventBase(Schema):
    """A client writes none: each change of status adds one."""

    from_status: OrderStatus | None = Field(default=None, sa_type=EnumValue(OrderStatus))
    to_status: OrderStatus = Field(sa_type=EnumValue(OrderStatus))


class OrderEvent(OrderEventBase, table=True):
    """Insert-only, one row per change of status, the first included."""

    __tablename__ = "order_events"
    not_audited: ClassVar[NotAudited] = "insert-only: the entry of its order says the same"
    __table_args__ = (one_of("from_status", OrderStatus), one_of("to_status", OrderStatus))

    id: Id = Field(default=None, primary_key=True)
    order_id: Id = Field(foreign_key="orders.id", ondelete="RESTRICT", index=True)
    user_id: Id | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL", index=True)
    created_at: AwareDatetime = Field(default_factory=utcnow)


class OrderEventRead(OrderEventBase):
    id: Id
    order_id: Id
    user_id: Id | None
    created_at: datetime
