"""Payments: what was paid towards an order."""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from api.models.base import Amount, Id, Money, Schema, Timestamps, check, one_of, related
from api.models.columns import Choice
from api.models.refund import RefundRead

if TYPE_CHECKING:
    from api.models.refund import Refund


class PaymentMethod(StrEnum):
    CARD = "card"
    BANK_TRANSFER = "bank_transfer"
    CASH = "cash"
    STORE_CREDIT = "store_credit"


class PaymentStatus(StrEnum):
    COMPLETED = "completed"
    REFUNDED = "refunded"


class PaymentBase(Schema):
    """What a client may write."""

    method: PaymentMethod = Field(sa_type=Choice(PaymentMethod), schema_extra={"examples": ["card"]})
    amount: Amount
    reference: str | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="The processor's own number; one can be used once per method.",
        schema_extra={"examples": ["ch_3MtwBwLkdIwHu7ix28a3tqPa"]},
    )


class Payment(PaymentBase, Timestamps, table=True):
    """Money received. `refunded_amount` grows with its refunds; all of it given back makes it `refunded`."""

    __tablename__ = "payments"
    __table_args__ = (
        UniqueConstraint("method", "reference"),
        one_of("method", PaymentMethod),
        one_of("status", PaymentStatus),
        check("amount", "amount > 0"),
        check("refunded_amount", "refunded_amount BETWEEN 0 AND amount"),
    )

    id: Id = Field(default=None, primary_key=True)
    order_id: Id = Field(foreign_key="orders.id", ondelete="RESTRICT", index=True)
    status: PaymentStatus = Field(default=PaymentStatus.COMPLETED, sa_type=Choice(PaymentStatus))
    refunded_amount: Money = Field(default=0)

    refunds: list["Refund"] = related("payment", order_by="Refund.id")


class PaymentCreate(PaymentBase):
    pass


class PaymentRead(PaymentBase):
    id: Id
    order_id: Id
    status: PaymentStatus
    refunded_amount: Money = Field(schema_extra={"examples": ["0.00"]})
    created_at: datetime


class PaymentReadWithRefunds(PaymentRead):
    refunds: list[RefundRead]
