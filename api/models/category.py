"""Categories: the shelves of the shop, nested."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field as Limits
from sqlmodel import Field

from api.models.base import Schema, related
from api.models.searchable import Searchable
from api.models.texts import LINE, LINES
from api.models.types import ABSENT, Id, Slug
from api.models.versioned import Versioned

if TYPE_CHECKING:
    from api.models.product import Product

CategoryName = Annotated[str, Limits(min_length=1, max_length=100, examples=["Audio"]), LINE]
CategorySlug = Annotated[Slug, Limits(examples=["audio"])]
Description = Annotated[str | None, Limits(max_length=2_000, examples=["Everything that makes a sound."]), LINES]


CATEGORY_ELSEWHERE = {
    "products": "a product names its category: `PATCH /products/{id}` with `category_id`",
    "children": "a category names its parent: `PATCH /categories/{id}` with `parent_id`",
}


class CategoryBase(Schema):
    """What a client may write."""

    elsewhere: ClassVar[dict[str, str]] = CATEGORY_ELSEWHERE

    name: CategoryName
    slug: CategorySlug | None = Field(default=None, description="Generated from the name if absent.")
    description: Description = None
    parent_id: Id | None = Field(default=None, foreign_key="categories.id", ondelete="SET NULL", index=True)


class Category(CategoryBase, Versioned, Searchable, table=True):
    """A shelf. `rules/category_tree.py` sees to it that no category is its own ancestor."""

    __tablename__ = "categories"
    searched = ("name", "description")

    id: Id = Field(default=None, primary_key=True)
    name: CategoryName = Field(unique=True)
    slug: CategorySlug = Field(unique=True)

    products: list["Product"] = related("category")


class CategoryCreate(CategoryBase):
    pass


class CategoryUpdate(Schema):
    elsewhere: ClassVar[dict[str, str]] = CATEGORY_ELSEWHERE

    name: CategoryName = ABSENT
    slug: CategorySlug = ABSENT
    description: Description = ABSENT
    parent_id: Id | None = ABSENT


class CategoryRead(CategoryBase):
    id: Id
    slug: CategorySlug
    created_at: datetime
    updated_at: datetime


class CategoryTree(CategoryRead):
    children: Annotated[list["CategoryTree"], Limits(examples=[[]])] = Field(default_factory=list)
