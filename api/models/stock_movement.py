"""Stock movements: why a product's stock is what it is."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime
from pydantic import Field as Limits
from sqlmodel import Field

from api.models.base import MAX_STOCK, Id, Schema, Whole, check, one_of, utcnow
from api.models.columns import Choice


class StockReason(StrEnum):
    INITIAL = "initial"
    ADJUSTMENT = "adjustment"
    ORDER = "order"
    CANCELLATION = "cancellation"


def _not_zero(delta: int) -> int:
    if delta == 0:
        raise ValueError("must not be zero")
    return delta


Delta = Annotated[
    int,
    Limits(
        strict=True,
        ge=-MAX_STOCK,
        le=MAX_STOCK,
        description="Units added, or taken where below zero.",
        examples=[25],
        json_schema_extra={"not": {"const": 0}},
    ),
    AfterValidator(_not_zero),
    Whole,
]


class StockMovementBase(Schema):
    """What a client may write."""

    delta: Delta


class StockMovement(StockMovementBase, table=True):
    """Insert-only. The sum of a product's movements is its stock, always."""

    __tablename__ = "stock_movements"
    __table_args__ = (one_of("reason", StockReason), check("delta", "delta <> 0"))

    id: Id = Field(default=None, primary_key=True)
    product_id: Id = Field(foreign_key="products.id", ondelete="CASCADE", index=True)
    reason: StockReason = Field(sa_type=Choice(StockReason))
    note: str | None = Field(default=None, max_length=200)
    order_id: Id | None = Field(default=None, foreign_key="orders.id", ondelete="RESTRICT", index=True)
    user_id: Id | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL", index=True)
    created_at: AwareDatetime = Field(default_factory=utcnow)


class StockMovementCreate(StockMovementBase):
    reason: str = Field(
        min_length=1, max_length=200, description="Kept as a note.", schema_extra={"examples": ["Delivery of 12 May"]}
    )


class StockMovementRead(StockMovementBase):
    id: Id
    product_id: Id
    reason: StockReason
    note: str | None = Field(schema_extra={"examples": ["Delivery of 12 May"]})
    order_id: Id | None
    user_id: Id | None
    created_at: datetime
