"""Nested categories of products. Anyone can read them; staff manage them."""

from typing import Annotated

from fastapi import Depends, Query
from pydantic import BaseModel, Field
from sqlmodel import col, select

from api.auth.callers import Staff
from api.models.category import Category, CategoryCreate, CategoryRead, CategoryTree, CategoryUpdate
from api.models.product import Product, ProductRead
from api.reads.pages import read_page
from api.reads.rows import Read, read_one
from api.reads.trees import read_tree
from api.rules import category_tree
from api.rules.slugs import free_slug
from api.rules.unique_values import flush_unique
from api.web.loading import PathId, PathText, QueryId, get_or_404
from api.web.pagination import CursorPage, Page, Paging, SearchParams
from api.web.problems import problems
from api.web.routing import Router
from api.web.sessions import ReadSession, WriteSession

router = Router("/categories", tag="categories")

BY_NAME = select(Category).order_by(col(Category.name))


async def _category_to_read(category_id: PathId, session: ReadSession) -> Category:
    return await get_or_404(session, Category, category_id)


async def _category_to_write(category_id: PathId, session: WriteSession, staff: Staff) -> Category:
    """Not locked: a change of the tree locks all categories in order, and one that was locked before would deadlock."""
    return await get_or_404(session, Category, category_id)


class CategoryProducts(Paging):
    recursive: bool = Field(default=False, description="Include the products of all subcategories.")


class TreeQuery(BaseModel):
    parent_id: QueryId | None = Field(default=None, description="Only the categories below this one.")
    levels: int | None = Field(default=None, ge=1, le=category_tree.MAX_DEPTH, description="Only so many levels.")


CategoryToRead = Annotated[Category, Depends(_category_to_read)]
CategoryToWrite = Annotated[Category, Depends(_category_to_write)]


@router.get("", response_model=Page[CategoryRead] | CursorPage[CategoryRead])
async def list_categories(query: SearchParams) -> Read:
    """List categories by name."""
    categories = select(Category)
    if query.search is not None:
        categories = categories.where(Category.matches(query.search))
    return read_page(categories, query, sort="name")


@router.get("/tree", response_model=list[CategoryTree])
async def read_category_tree(query: Annotated[TreeQuery, Query()]) -> Read:
    """Read all categories, nested below their parents, or a part of the tree.

    A large tree is read level by level: `levels=1` for the top, then `parent_id` of each category that is opened.
    """
    if query.parent_id is None and query.levels is None:
        return read_tree(BY_NAME)
    wanted = category_tree.levels_below(query.parent_id, query.levels or category_tree.MAX_DEPTH)
    return read_tree(BY_NAME.where(col(Category.id).in_(select(wanted.c.id))), below=query.parent_id)


@router.get("/by-slug/{slug}", response_model=CategoryRead, responses=problems(404))
async def read_category_by_slug(slug: PathText) -> Read:
    """Read a category by its slug."""
    return read_one(select(Category).where(Category.slug == slug))


@router.get("/{id}", response_model=CategoryRead, responses=problems(404))
async def read_category(category_id: PathId) -> Read:
    """Read a category."""
    return read_one(select(Category).where(Category.id == category_id))


@router.get("/{id}/products", response_model=Page[ProductRead] | CursorPage[ProductRead], responses=problems(404))
async def list_category_products(category: CategoryToRead, query: Annotated[CategoryProducts, Query()]) -> Read:
    """List the active products of a category; with `recursive=true` also those of all categories below it."""
    products = select(Product).where(col(Product.is_active))
    if query.recursive:
        products = products.where(col(Product.category_id).in_(select(category_tree.branch(category.id).c.id)))
    else:
        products = products.where(Product.category_id == category.id)
    return read_page(products, query, sort="name")


@router.post("", status_code=201, response_model=CategoryRead, responses=problems(409))
async def create_category(data: CategoryCreate, session: WriteSession, staff: Staff) -> Category:
    """Add a category, at the top or under a parent."""
    await category_tree.check_parent(session, data.parent_id)
    slug = await free_slug(session, Category, data.slug, data.name)
    category = Category.model_validate(data, update={"slug": slug})
    await flush_unique(session, [category], [data])
    return category


@router.put("/{id}", response_model=CategoryRead, responses=problems(404, 409))
async def replace_category(data: CategoryCreate, category: CategoryToWrite, session: WriteSession) -> Category:
    """Replace all writable fields of a category; absent fields are cleared, but an absent slug is kept."""
    await category_tree.check_parent(session, data.parent_id, of=category.id)
    category.sqlmodel_update(data, update={"slug": data.slug or category.slug})
    await flush_unique(session, [category], [data])
    return category


@router.patch("/{id}", response_model=CategoryRead, responses=problems(404, 409))
async def update_category(data: CategoryUpdate, category: CategoryToWrite, session: WriteSession) -> Category:
    """Change only the fields that are sent."""
    await category_tree.check_parent(session, data.parent_id, of=category.id)
    category.sqlmodel_update(data.model_dump(exclude_unset=True))
    await flush_unique(session, [category], [data])
    return category


@router.delete("/{id}", status_code=204, responses=problems(404))
async def delete_category(category: CategoryToWrite, session: WriteSession) -> None:
    """Delete a category. Its subcategories move to its parent, and its products are left without a category."""
    await category_tree.remove(session, category)
