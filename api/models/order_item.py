"""Order lines: one per product, with the name, the SKU and the price at purchase."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Optional

from pydantic import Field as Limits
from sqlmodel import Field, UniqueConstraint

from api.models.base import NotAudited, Schema, check, related
from api.models.money import Amount, Money
from api.models.product import ProductName, ProductRead, Sku
from api.models.types import Id, Quantity

if TYPE_CHECKING:
    from api.models.order import Order
    from api.models.product import Product

# What was ordered under an older rule for names or SKUs is shown as it stands.
AnyProductName = Annotated[str, Limits(examples=["Wireless Headphones"])]
AnySku = Annotated[str, Limits(examples=["WH-001"])]
LineTotal = Annotated[Money, Limits(examples=["159.98"])]


class OrderItemBase(Schema):
    """What a client may write."""

    elsewhere: ClassVar[dict[str, str]] = dict.fromkeys(
        ("product_name", "sku", "price", "unit_price", "total_price"), "it is the product's of today"
    )

    product_id: Id = Field(foreign_key="products.id", ondelete="RESTRICT", index=True)
    quantity: Quantity


class OrderItem(OrderItemBase, table=True):
    """A line of an order. Its product can be changed or deactivated later; the line stays as it is."""

    __tablename__ = "order_items"
    not_audited: ClassVar[NotAudited] = "insert-only: it comes with its order, which has an entry"
    __table_args__ = (
        UniqueConstraint("order_id", "product_id"),
        check("quantity", "quantity > 0"),
        check("total_price", "total_price = quantity * unit_price"),
    )

    id: Id = Field(default=None, primary_key=True)
    order_id: Id = Field(default=None, foreign_key="orders.id", ondelete="RESTRICT")
    quantity: int  # of equal lines of a request together, so it may exceed the limit of each
    product_name: ProductName
    sku: Sku
    unit_price: Amount
    total_price: LineTotal

    order: Optional["Order"] = related("items")
    product: Optional["Product"] = related()


class OrderItemCreate(OrderItemBase):
    pass


class OrderItemRead(Schema):
    id: Id
    product_id: Id
    product_name: AnyProductName
    sku: AnySku
    quantity: Annotated[int, Limits(examples=[2])]
    unit_price: Money
    total_price: LineTotal


class OrderItemReadWithProduct(OrderItemRead):
    product: ProductRead
