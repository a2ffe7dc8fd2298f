"""Products: what the shop sells."""

import json
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, ClassVar, Optional

from pydantic import AfterValidator, JsonValue, StringConstraints
from pydantic import Field as Limits
from sqlalchemy import ColumnElement
from sqlmodel import JSON, Field, Index, UniqueConstraint, col, true

from api.models.base import Schema, check, related
from api.models.category import CategoryRead
from api.models.money import Amount
from api.models.searchable import Searchable
from api.models.texts import LINE, LINES
from api.models.types import ABSENT, Id, Integral, IsActive, JsonObject, Slug, in_words
from api.models.versioned import Versioned

if TYPE_CHECKING:
    from api.models.category import Category
    from api.models.user import Caller

MAX_STOCK = 1_000_000_000
"""Units of one product: nine thousand million products of this stock still sum up within 64 bits."""

LOW_STOCK = 10
"""Units: a product that has so many or fewer is low in stock, where a request names no other threshold."""

MAX_ATTRIBUTE_DEPTH = 20
"""Levels of nesting; MariaDB takes 32."""

MAX_ATTRIBUTE_LENGTH = 10_000
"""Characters of JSON, so that a page of a hundred products stays within a megabyte."""


def _depth(value: JsonValue) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)


def _storable(attributes: JsonObject) -> JsonObject:
    if _depth(attributes) > MAX_ATTRIBUTE_DEPTH:
        raise ValueError(f"must not be nested deeper than {MAX_ATTRIBUTE_DEPTH} levels")
    if len(json.dumps(attributes, allow_nan=False)) > MAX_ATTRIBUTE_LENGTH:
        raise ValueError(f"must not exceed {MAX_ATTRIBUTE_LENGTH:,} characters of JSON")
    return attributes


ProductName = Annotated[str, Limits(min_length=1, max_length=200, examples=["Wireless Headphones"]), LINE]
ProductSlug = Annotated[Slug, Limits(examples=["wireless-headphones"])]
SKU_PATTERN = in_words(
    r"^[A-Za-z0-9]+(-[A-Za-z0-9]+)*$",
    "must consist of the letters A to Z, digits, and single hyphens between them; lower-case letters become upper-case",
)
Sku = Annotated[
    str,
    StringConstraints(to_upper=True),
    Limits(min_length=1, max_length=50, pattern=SKU_PATTERN, examples=["WH-001"]),
]


def stored_sku(text: str) -> str:
    """A SKU as it is stored, of one as a person types it."""
    return text.upper() if text.isascii() else text  # "ß" would become "SS"


ProductDescription = Annotated[
    str | None, Limits(max_length=5_000, examples=["Over-ear, thirty hours a charge."]), LINES
]
Stock = Annotated[int, Limits(strict=True, ge=0, le=MAX_STOCK, examples=[50]), Integral]
Attributes = Annotated[JsonObject, AfterValidator(_storable), Limits(examples=[{"colour": "black", "wireless": True}])]


STOCK_ELSEWHERE = {"stock_quantity": "the stock changes by `POST /products/{id}/stock`"}


class ProductBase(Schema):
    """What a client may write."""

    elsewhere: ClassVar[dict[str, str]] = STOCK_ELSEWHERE

    name: ProductName
    slug: ProductSlug | None = Field(default=None, description="Generated from the name if absent.")
    sku: Sku
    description: ProductDescription = None
    price: Amount
    is_active: IsActive = True
    attributes: Attributes = Field(default_factory=dict)
    category_id: Id | None = Field(default=None, foreign_key="categories.id", ondelete="SET NULL")


class Product(ProductBase, Versioned, Searchable, table=True):
    """An article and its stock. The stock changes only together with a stock movement, in `rules/stock.py`."""

    __tablename__ = "products"
    __table_args__ = (
        UniqueConstraint("category_id", "name"),
        # Each list that is offered is read in the order of one of these. The last column has a count read no rows.
        Index(None, "category_id", "id"),
        Index(None, "category_id", "price", "id"),
        Index(None, "name", "id"),
        Index(None, "price", "id", "is_active"),
        check("price", "price > 0"),
        check("stock_quantity", f"stock_quantity BETWEEN 0 AND {MAX_STOCK}"),
    )
    searched = ("name", "sku", "description")
    counted_by: ClassVar[tuple[str, ...]] = ("category_id", "is_active")

    id: Id = Field(default=None, primary_key=True)
    name: ProductName
    slug: ProductSlug = Field(unique=True)
    sku: Sku = Field(unique=True)
    price: Amount
    stock_quantity: Stock = Field(default=0)
    attributes: JsonObject = Field(default_factory=dict, sa_type=JSON)

    category: Optional["Category"] = related("products")

    @classmethod
    def visible_to(cls, user: "Caller | None") -> ColumnElement[bool]:
        """The products that a user, or anyone who is not signed in, may read, as a condition."""
        return true() if user and user.is_superuser else col(cls.is_active).is_(true())


class ProductCreate(ProductBase):
    stock_quantity: Stock = 0


class ProductUpdate(Schema):
    elsewhere: ClassVar[dict[str, str]] = STOCK_ELSEWHERE

    name: ProductName = ABSENT
    slug: ProductSlug = ABSENT
    sku: Sku = ABSENT
    description: ProductDescription = ABSENT
    price: Amount = ABSENT
    is_active: IsActive = ABSENT
    attributes: Attributes = ABSENT
    category_id: Id | None = ABSENT


class ProductRead(ProductBase):
    id: Id
    slug: ProductSlug
    stock_quantity: Stock
    created_at: datetime
    updated_at: datetime


class ProductReadWithCategory(ProductRead):
    category: CategoryRead | None


class ProductStock(Schema):
    """A product whose stock is low."""

    id: Id
    sku: Sku
    name: ProductName
    stock_quantity: Stock


class ProductSort(StrEnum):
    """The sort orders of a product list; a leading minus means descending. Equal values are told apart by id."""

    NEWEST = "-id"
    OLDEST = "id"
    NAME = "name"
    NAME_REVERSED = "-name"
    CHEAPEST = "price"
    DEAREST = "-price"
