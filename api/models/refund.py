"""Refunds: what was given back of a payment."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, ClassVar, Optional

from pydantic import AwareDatetime
from pydantic import Field as Limits
from sqlmodel import Field

from api.models.base import Schema, check, related, utcnow
from api.models.money import Amount
from api.models.texts import LINE
from api.models.types import PERSONAL, Id

if TYPE_CHECKING:
    from api.models.payment import Payment

RefundReason = Annotated[str, Limits(min_length=1, max_length=200, examples=["Arrived scratched"]), PERSONAL, LINE]


class RefundBase(Schema):
    """What a client may write."""

    elsewhere: ClassVar[dict[str, str]] = {"payment_id": "it stands in the path"}

    amount: Amount
    reason: RefundReason


class Refund(RefundBase, table=True):
    """Insert-only. A refund of store credit is a transaction as well."""

    __tablename__ = "refunds"
    __table_args__ = (check("amount", "amount > 0"),)

    id: Id = Field(default=None, primary_key=True)
    payment_id: Id = Field(foreign_key="payments.id", ondelete="RESTRICT", index=True)
    user_id: Id | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL", index=True)
    created_at: AwareDatetime = Field(default_factory=utcnow)

    payment: Optional["Payment"] = related("refunds")


class RefundCreate(RefundBase):
    pass


class RefundRead(RefundBase):
    id: Id
    payment_id: Id
    created_at: datetime
