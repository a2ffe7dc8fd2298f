"""Stock movements: why a product's stock is what it is."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import AfterValidator, AwareDatetime
from pydantic import Field as Limits
from sqlmodel import Field, Index

from api.models.base import NotAudited, Schema, check, one_of, utcnow
from api.models.columns import EnumValue
from api.models.product import MAX_STOCK
from api.models.texts import LINE
from api.models.types import Id, Integral


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
        description="Units to add; a negative number removes units.",
        examples=[25],
        json_schema_extra={"not": {"const": 0}},
    ),
    AfterValidator(_not_zero),
    Integral,
]
MAX_NOTE_LENGTH = 200
RequiredNote = Annotated[str, Limits(min_length=1, max_length=MAX_NOTE_LENGTH, examples=["Delivery of 12 May"]), LINE]
Note = Annotated[str | None, Limits(max_length=MAX_NOTE_LENGTH, examples=["Delivery of 12 May"])]


class StockMovementBase(Schema):
    """What a client may write."""

    elsewhere: ClassVar[dict[str, str]] = {
        "product_id": "it stands in the path",
        "stock_quantity": "send the difference as `delta`",
    }

    delta: Delta


class StockMovement(StockMovementBase, table=True):
    """Insert-only. The sum of a product's movements is always its stock."""

    __tablename__ = "stock_movements"
    not_audited: ClassVar[NotAudited] = "insert-only: the entry of its product says the same"
    __table_args__ = (
        one_of("reason", StockReason),
        check("delta", "delta <> 0"),
        Index(None, "product_id", "id"),
    )

    id: Id = Field(default=None, primary_key=True)
    product_id: Id = Field(foreign_key="products.id", ondelete="CASCADE")
    reason: StockReason = Field(sa_type=EnumValue(StockReason))
    note: Note = None
    order_id: Id | None = Field(default=None, foreign_key="orders.id", ondelete="RESTRICT", index=True)
    user_id: Id | None = Field(default=None, foreign_key="users.id", ondelete="SET NULL", index=True)
    created_at: AwareDatetime = Field(default_factory=utcnow)


class StockMovementCreate(StockMovementBase):
    reason: RequiredNote = Field(description="Kept as the movement's note.")


class StockMovementRead(StockMovementBase):
    id: Id
    product_id: Id
    reason: StockReason
    note: Note
    order_id: Id | None
    user_id: Id | None
    created_at: datetime
