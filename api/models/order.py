"""Orders: frozen documents that outlive changes to their user, their products and the prices."""

import re
import secrets
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, ClassVar, Optional

from pydantic import Field as Limits
from sqlalchemy import ColumnElement
from sqlmodel import Field, Index

from api.models.base import Schema, Timestamps, check, one_of, related
from api.models.columns import EnumValue
from api.models.money import ZERO, Amount, Money
from api.models.order_item import OrderItemCreate, OrderItemRead, OrderItemReadWithProduct
from api.models.texts import LINES
from api.models.types import PERSONAL, Id
from api.models.user import UserSummary

if TYPE_CHECKING:
    from api.models.order_item import OrderItem
    from api.models.user import Caller, User

OrderNumber = Annotated[str, Limits(max_length=20, examples=["ORD-7K2M-9QX4-T0BV"])]
PaidAmount = Annotated[
    Money, Limits(description="The sum of all payments, whatever went back of them.", examples=["79.99"])
]
OrderRefundedAmount = Annotated[
    Money,
    Limits(
        description="What went back of the payments. A refund makes nothing due again: due is total less paid.",
        examples=["0.00"],
    ),
]
ShippingAddress = Annotated[
    str | None, Limits(max_length=500, examples=["1 Abbey Road, London NW8 9AY"]), PERSONAL, LINES
]


class OrderStatus(StrEnum):
    PENDING = "pending"
    CONFIRMED = "confirmed"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"


NEXT_STATUSES = {
    OrderStatus.PENDING: {OrderStatus.CONFIRMED, OrderStatus.CANCELLED},
    OrderStatus.CONFIRMED: {OrderStatus.SHIPPED, OrderStatus.CANCELLED},
    OrderStatus.SHIPPED: {OrderStatus.DELIVERED},
    OrderStatus.DELIVERED: set[OrderStatus](),
    OrderStatus.CANCELLED: set[OrderStatus](),
}
"""Which statuses may follow each status."""


DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
BITS_OF_DIGIT = 5
NUMBER_DIGITS = 12
MISREAD_DIGITS = str.maketrans("OIL", "011")
"""Letters that Crockford's base 32 does not have, because people take them for these digits."""


def new_order_number() -> str:
    """Random, so that a number does not tell how many orders there are: 60 bits of Crockford's base 32."""
    number = secrets.randbits(NUMBER_DIGITS * BITS_OF_DIGIT)
    digits = "".join(DIGITS[number >> place * BITS_OF_DIGIT & 31] for place in range(NUMBER_DIGITS))
    return f"ORD-{digits[:4]}-{digits[4:8]}-{digits[8:]}"


def stored_order_number(text: str) -> str:
    """An order number as it is stored, of one as a person types it: in any case, without hyphens, with O for 0."""
    digits = re.sub(r"[\s-]", "", text).upper().removeprefix("ORD").translate(MISREAD_DIGITS)
    return f"ORD-{digits[:4]}-{digits[4:8]}-{digits[8:]}" if len(digits) == NUMBER_DIGITS else text.upper()


class OrderBase(Schema):
    """What a client may write."""

    versioned_by: ClassVar[str] = "status"
    """An order is edited by its status alone, and no status comes back: so it tells one edition from all others."""

    elsewhere: ClassVar[dict[str, str]] = {
        "status": "an order is `pending` at first, and `PATCH /orders/{id}/status` changes it",
        "total_amount": "the total follows from the items and the prices of today",
        "paid_amount": "`POST /orders/{id}/payments` pays",
        "order_number": "the shop sets it",
    }

    shipping_address: ShippingAddress = None


class Order(OrderBase, Timestamps, table=True):
    """Who bought, the total and the status; the lines are `OrderItem`s."""

    __tablename__ = "orders"
    __table_args__ = (
        one_of("status", OrderStatus),
        check("total_amount", "total_amount > 0"),
        check("paid_amount", "paid_amount BETWEEN 0 AND total_amount"),
        check("refunded_amount", "refunded_amount BETWEEN 0 AND paid_amount"),
        Index(None, "user_id", "id"),
        Index(None, "status", "id"),
    )

    id: Id = Field(default=None, primary_key=True)
    order_number: OrderNumber = Field(default_factory=new_order_number, unique=True)
    user_id: Id = Field(foreign_key="users.id", ondelete="RESTRICT")
    status: OrderStatus = Field(default=OrderStatus.PENDING, sa_type=EnumValue(OrderStatus))
    total_amount: Amount
    paid_amount: PaidAmount = Field(default=ZERO)
    refunded_amount: OrderRefundedAmount = Field(default=ZERO)

    user: Optional["User"] = related("orders")
    items: list["OrderItem"] = related("order", order_by="OrderItem.id")

    @classmethod
    def visible_to(cls, user: "Caller") -> ColumnElement[bool]:
        """The orders that a user may read, and may cancel, as a condition."""
        return user.may_act_for_owner(cls.user_id)


MAX_LINES = 100
"""Lines of one order: its rows and those of its stock movements are locked for as long as all of them take."""


class OrderCreate(OrderBase):
    items: list[OrderItemCreate] = Field(min_length=1, max_length=MAX_LINES)
    user_id: Id | None = Field(default=None, description="Staff may order for a customer.")


class OrderRead(OrderBase):
    id: Id
    order_number: OrderNumber
    user_id: Id
    status: OrderStatus
    total_amount: Money
    paid_amount: PaidAmount
    refunded_amount: OrderRefundedAmount
    created_at: datetime
    updated_at: datetime


class StoredOrder(OrderRead):
    """An order as it was when it was read, for the rules; no session tracks it."""

    @property
    def due_amount(self) -> Decimal:
        return self.total_amount - self.paid_amount

    @property
    def is_settled(self) -> bool:
        """Whether it is paid in full, and nothing of that was given back."""
        return not self.due_amount and not self.refunded_amount

    def may_become(self, status: OrderStatus) -> bool:
        return status in NEXT_STATUSES[self.status]


class OrderReadWithItems(OrderRead):
    items: list[OrderItemRead]


class OrderReadWithDetails(OrderRead):
    user: UserSummary
    items: list[OrderItemReadWithProduct]
