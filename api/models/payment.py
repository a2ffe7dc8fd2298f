"""Payments: what was paid towards an order."""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field as Limits
from sqlmodel import Field, UniqueConstraint

from api.models.base import Schema, Timestamps, check, one_of, related
from api.models.columns import EnumValue
from api.models.money import ZERO, Amount, Money
from api.models.refund import RefundRead
from api.models.texts import LINE
from api.models.types import PERSONAL, Id

if TYPE_CHECKING:
    from api.models.refund import Refund

Reference = Annotated[
    str | None,
    Limits(
        min_length=1,
        max_length=100,
        description="The payment processor's own number. A reference can be used once per payment method.",
        examples=["ch_3MtwBwLkdIwHu7ix28a3tqPa"],
    ),
    PERSONAL,
    LINE,
]
RefundedAmount = Annotated[Money, Limits(examples=["0.00"])]


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

    elsewhere: ClassVar[dict[str, str]] = {
        "order_id": "it stands in the path",
        "status": "`POST /payments/{id}/refunds` refunds a payment",
        "refunded_amount": "`POST /payments/{id}/refunds` refunds a payment",
    }

    method: Annotated[PaymentMethod, Limits(examples=["card"])] = Field(sa_type=EnumValue(PaymentMethod))
    amount: Amount
    reference: Reference = None


class Payment(PaymentBase, Timestamps, table=True):
    """Money received. Its refunds raise `refunded_amount`; a payment that is given back whole is `refunded`."""

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
    status: PaymentStatus = Field(default=PaymentStatus.COMPLETED, sa_type=EnumValue(PaymentStatus))
    refunded_amount: RefundedAmount = Field(default=ZERO)

    refunds: list["Refund"] = related("payment", order_by="Refund.id")


class PaymentCreate(PaymentBase):
    pass


class PaymentRead(PaymentBase):
    id: Id
    order_id: Id
    status: PaymentStatus
    refunded_amount: RefundedAmount
    created_at: datetime


class PaymentReadWithRefunds(PaymentRead):
    refunds: list[RefundRead]
