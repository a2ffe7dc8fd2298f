"""Order lines: one per product, with name, SKU and price as they were at purchase."""

from typing import TYPE_CHECKING, Optional

from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from api.models.base import Amount, Id, Money, Quantity, Schema, check, related
from api.models.product import ProductRead

if TYPE_CHECKING:
    from api.models.order import Order
    from api.models.product import Product


class OrderItemBase(Schema):
    """What a client may write."""

    product_id: Id = Field(foreign_key="products.id", ondelete="RESTRICT", index=True)
    quantity: Quantity


class OrderItem(OrderItemBase, table=True):
    """A line of an order. Its product can be changed or deactivated later; the line stays as it was."""

    __tablename__ = "order_items"
    __table_args__ = (
        UniqueConstraint("order_id", "product_id"),
        check("quantity", "quantity > 0"),
        check("total_price", "total_price = quantity * unit_price"),
    )

    id: Id = Field(default=None, primary_key=True)
    order_id: Id = Field(default=None, foreign_key="orders.id", ondelete="RESTRICT")
    quantity: int
    product_name: str = Field(max_length=200)
    sku: str = Field(max_length=50)
    unit_price: Amount
    total_price: Money

    order: Optional["Order"] = related("items")
    product: Optional["Product"] = related()


class OrderItemCreate(OrderItemBase):
    pass


class OrderItemRead(Schema):
    id: Id
    product_id: Id
    product_name: str = Field(schema_extra={"examples": ["Wireless Headphones"]})
    sku: str = Field(schema_extra={"examples": ["WH-001"]})
    quantity: int = Field(schema_extra={"examples": [2]})
    unit_price: Money
    total_price: Money = Field(schema_extra={"examples": ["159.98"]})


class OrderItemReadWithProduct(OrderItemRead):
    product: ProductRead
