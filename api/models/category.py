"""Categories: the shelves of the shop, nested."""

from datetime import datetime
from typing import TYPE_CHECKING

from sqlmodel import Field

from api.models.base import Id, Schema, Slug, Timestamps, related

if TYPE_CHECKING:
    from api.models.product import Product


class CategoryBase(Schema):
    """What a client may write."""

    name: str = Field(min_length=1, max_length=100, schema_extra={"examples": ["Audio"]})
    slug: Slug | None = Field(
        default=None, description="Made from the name when absent.", schema_extra={"examples": ["audio"]}
    )
    description: str | None = Field(
        default=None, max_length=2_000, schema_extra={"examples": ["Everything that makes a sound."]}
    )
    parent_id: Id | None = Field(default=None, foreign_key="categories.id", ondelete="SET NULL", index=True)


class Category(CategoryBase, Timestamps, table=True):
    """A shelf. That no category is its own ancestor is seen to in `rules/categories.py`."""

    __tablename__ = "categories"

    id: Id = Field(default=None, primary_key=True)
    name: str = Field(max_length=100, unique=True)
    slug: Slug = Field(unique=True)

    products: list["Product"] = related("category")


class CategoryCreate(CategoryBase):
    pass


class CategoryUpdate(Schema):
    name: str = Field(default=None, min_length=1, max_length=100, schema_extra={"examples": ["Audio & Hi-Fi"]})
    slug: Slug = Field(default=None, schema_extra={"examples": ["audio"]})
    description: str | None = Field(default=None, max_length=2_000, schema_extra={"examples": ["From headphones up."]})
    parent_id: Id | None = None


class CategoryRead(CategoryBase):
    id: Id
    slug: Slug = Field(schema_extra={"examples": ["audio"]})
    created_at: datetime
    updated_at: datetime


class CategoryTree(CategoryRead):
    children: list["CategoryTree"] = Field(default_factory=list, schema_extra={"examples": [[]]})
