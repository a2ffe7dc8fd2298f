"""Orders: frozen documents that outlive changes to their user, products and prices."""

import secrets
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Optional

from sqlmodel import Field

from api.models.base import Amount, Id, Money, Schema, Timestamps, check, one_of, related
from api.models.columns import Choice
from api.models.order_item import OrderItemCreate, OrderItemRead, OrderItemReadWithProduct
from api.models.user import UserSummary

if TYPE_CHECKING:
    from api.models.order_item import OrderItem
    from api.models.user import User


class OrderStatus(StrEnum):
    PENDING = "pending"
    CONFIRMED = "confirmed"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    CANCELLED = "cancelled"


FOLLOWING = {
    OrderStatus.PENDING: {OrderStatus.CONFIRMED, OrderStatus.CANCELLED},
    OrderStatus.CONFIRMED: {OrderStatus.SHIPPED, OrderStatus.CANCELLED},
    OrderStatus.SHIPPED: {OrderStatus.DELIVERED},
    OrderStatus.DELIVERED: set[OrderStatus](),
    OrderStatus.CANCELLED: set[OrderStatus](),
}
"""Which statuses may follow which. Nothing else."""


def new_order_number() -> str:
    """Random, so that a number tells nothing of how many orders there are: 60 bits of Crockford's base 32."""
    digits = "".join(secrets.choice("0123456789ABCDEFGHJKMNPQRSTVWXYZ") for _ in range(12))
    return f"ORD-{digits[:4]}-{digits[4:8]}-{digits[8:]}"


class OrderBase(Schema):
    """What a client may write."""

    shipping_address: str | None = Field(
        default=None, max_length=500, schema_extra={"examples": ["1 Abbey Road, London NW8 9AY"]}
    )


class Order(OrderBase, Timestamps, table=True):
    """Who bought, what for in all, and how far it got; the lines are `OrderItem`s."""

    __tablename__ = "orders"
    __table_args__ = (
        one_of("status", OrderStatus),
        check("total_amount", "total_amount > 0"),
        check("paid_amount", "paid_amount BETWEEN 0 AND total_amount"),
    )

    id: Id = Field(default=None, primary_key=True)
    order_number: str = Field(default_factory=new_order_number, max_length=20, unique=True)
    user_id: Id = Field(foreign_key="users.id", ondelete="RESTRICT", index=True)
    status: OrderStatus = Field(default=OrderStatus.PENDING, sa_type=Choice(OrderStatus), index=True)
    total_amount: Amount
    paid_amount: Money = Field(default=0)

    user: Optional["User"] = related("orders")
    items: list["OrderItem"] = related("order", order_by="OrderItem.id")

    @property
    def due_amount(self) -> Decimal:
        return self.total_amount - self.paid_amount

    def may_become(self, status: OrderStatus) -> bool:
        return status in FOLLOWING[self.status]


class OrderCreate(OrderBase):
    items: list[OrderItemCreate] = Field(min_length=1, max_length=100)
    user_id: Id | None = Field(default=None, description="Staff may order for somebody else.")


class OrderRead(OrderBase):
    id: Id
    order_number: str = Field(schema_extra={"examples": ["ORD-7K2M-9QX4-T0BV"]})
    user_id: Id
    status: OrderStatus
    total_amount: Money
    paid_amount: Money
    created_at: datetime
    updated_at: datetime


class OrderReadWithItems(OrderRead):
    items: list[OrderItemRead]


class OrderReadWithDetails(OrderRead):
    user: UserSummary
    items: list[OrderItemReadWithProduct]


class StatusCount(Schema):
    status: OrderStatus
    orders: int = Field(schema_extra={"examples": [8]})
    amount: Money


class CategorySales(Schema):
    """What one category sold; `category_id` is null for products without a category."""

    category_id: Id | None
    category: str | None = Field(schema_extra={"examples": ["Audio"]})
    units: int = Field(schema_extra={"examples": [24]})
    revenue: Money


class OrderStats(Schema):
    """All orders at a glance. Revenue leaves out cancelled orders."""

    total_orders: int = Field(schema_extra={"examples": [42]})
    total_revenue: Money
    average_order_value: Money
    by_status: list[StatusCount]
    by_category: list[CategorySales]


class TopSpender(Schema):
    """A user and what their orders come to, cancelled ones left out."""

    user: UserSummary
    orders: int = Field(schema_extra={"examples": [7]})
    spent: Money
