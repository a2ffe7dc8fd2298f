"""Products: what the shop sells."""

import json
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Optional

from pydantic import AfterValidator, JsonValue
from pydantic import Field as Limits
from sqlalchemy import JSON, UniqueConstraint
from sqlmodel import Field

from api.models.base import (
    MAX_STOCK,
    Amount,
    Flag,
    Id,
    JsonObject,
    Money,
    Schema,
    Slug,
    Timestamps,
    Whole,
    check,
    related,
)
from api.models.category import CategoryRead

if TYPE_CHECKING:
    from api.models.category import Category

Sku = Annotated[str, Limits(min_length=1, max_length=50, pattern=r"^[A-Z0-9]+(-[A-Z0-9]+)*$", examples=["WH-001"])]
Stock = Annotated[int, Limits(strict=True, ge=0, le=MAX_STOCK, examples=[50]), Whole]


def _depth(value: JsonValue) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)


def _storable(attributes: JsonObject) -> JsonObject:
    if _depth(attributes) > 20:  # MariaDB takes 32
        raise ValueError("must not nest deeper than 20 levels")
    if len(json.dumps(attributes, allow_nan=False)) > 10_000:
        raise ValueError("must not exceed 10,000 characters of JSON")
    return attributes


Attributes = Annotated[JsonObject, AfterValidator(_storable), Limits(examples=[{"colour": "black", "wireless": True}])]


class ProductBase(Schema):
    """What a client may write."""

    name: str = Field(min_length=1, max_length=200, schema_extra={"examples": ["Wireless Headphones"]})
    slug: Slug | None = Field(
        default=None, description="Made from the name when absent.", schema_extra={"examples": ["wireless-headphones"]}
    )
    sku: Sku
    description: str | None = Field(
        default=None, max_length=5_000, schema_extra={"examples": ["Over-ear, thirty hours a charge."]}
    )
    price: Amount
    is_active: Flag = True
    attributes: Attributes = Field(default_factory=dict)
    category_id: Id | None = Field(default=None, foreign_key="categories.id", ondelete="SET NULL", index=True)


class Product(ProductBase, Timestamps, table=True):
    """An article with its stock. The stock changes only together with a stock movement, in `rules/stock.py`."""

    __tablename__ = "products"
    __table_args__ = (
        UniqueConstraint("category_id", "name"),
        check("price", "price > 0"),
        check("stock_quantity", f"stock_quantity BETWEEN 0 AND {MAX_STOCK}"),
    )

    id: Id = Field(default=None, primary_key=True)
    name: str = Field(max_length=200, index=True)
    slug: Slug = Field(unique=True)
    sku: Sku = Field(unique=True)
    price: Amount = Field(index=True)
    stock_quantity: Stock = Field(default=0)
    attributes: JsonObject = Field(default_factory=dict, sa_type=JSON)

    category: Optional["Category"] = related("products")


class ProductCreate(ProductBase):
    stock_quantity: Stock = 0


class ProductUpdate(Schema):
    name: str = Field(default=None, min_length=1, max_length=200, schema_extra={"examples": ["Wireless Headphones II"]})
    slug: Slug = Field(default=None, schema_extra={"examples": ["wireless-headphones"]})
    sku: Sku = Field(default=None)
    description: str | None = Field(default=None, max_length=5_000, schema_extra={"examples": ["Now forty hours."]})
    price: Amount = Field(default=None)
    is_active: Flag = Field(default=None, schema_extra={"examples": [True]})
    attributes: Attributes = Field(default=None)
    category_id: Id | None = None


class ProductRead(ProductBase):
    id: Id
    slug: Slug = Field(schema_extra={"examples": ["wireless-headphones"]})
    stock_quantity: int = Field(schema_extra={"examples": [50]})
    created_at: datetime
    updated_at: datetime


class ProductReadWithCategory(ProductRead):
    category: CategoryRead | None


class ProductSort(StrEnum):
    """The orders that a product list can have; a minus reverses. Equal values are told apart by id."""

    NEWEST = "-id"
    OLDEST = "id"
    NAME = "name"
    NAME_REVERSED = "-name"
    CHEAPEST = "price"
    DEAREST = "-price"


class CategoryStats(Schema):
    """One category's active products; `category_id` is null for those without a category."""

    category_id: Id | None
    category: str | None = Field(schema_extra={"examples": ["Audio"]})
    products: int = Field(schema_extra={"examples": [12]})
    in_stock: int = Field(description="Products with at least one unit.", schema_extra={"examples": [10]})
    units: int = Field(description="Units on hand.", schema_extra={"examples": [480]})
    average_price: Money
    lowest_price: Money
    highest_price: Money
