"""/categories: the shelves of the shop. Anyone reads them, staff keep them."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from sqlmodel import col, select

from api.auth import Staff
from api.database import ReadSession, WriteSession
from api.errors import problems
from api.loading import PathId, get_or_404
from api.models import (
    Category,
    CategoryCreate,
    CategoryRead,
    CategoryTree,
    CategoryUpdate,
    Product,
    ProductRead,
)
from api.pagination import CursorPage, Page, PagingParams, paginate
from api.rules import categories as tree
from api.rules.slugs import free_slug
from api.search import SearchText, contains
from api.transactions import TransactionRoute

router = APIRouter(prefix="/categories", tags=["categories"], route_class=TransactionRoute)


async def _category(category_id: PathId, session: ReadSession) -> Category:
    return await get_or_404(session, Category, category_id)


async def _category_to_write(category_id: PathId, session: WriteSession, user: Staff) -> Category:
    return await get_or_404(session, Category, category_id)


CategoryDep = Annotated[Category, Depends(_category)]
CategoryToWrite = Annotated[Category, Depends(_category_to_write)]


@router.get("", response_model=Page[CategoryRead] | CursorPage[CategoryRead])
async def list_categories(
    session: ReadSession, paging: PagingParams, search: SearchText | None = None
) -> Page[Category] | CursorPage[Category]:
    """List categories by name."""
    statement = select(Category)
    if search is not None:
        statement = statement.where(contains(search, Category.name, Category.description))
    return await paginate(session, statement, paging, model=Category, sort="name")


@router.get("/tree")
async def read_category_tree(session: ReadSession) -> list[CategoryTree]:
    """Read all categories, nested below their parents."""
    return tree.as_tree((await session.exec(select(Category).order_by(col(Category.name)))).all())


@router.get("/{id}", response_model=CategoryRead, responses=problems(404))
async def read_category(category: CategoryDep) -> Category:
    """Read a category."""
    return category


@router.get("/{id}/products", response_model=Page[ProductRead] | CursorPage[ProductRead], responses=problems(404))
async def list_category_products(
    category: CategoryDep,
    session: ReadSession,
    paging: PagingParams,
    recursive: Annotated[bool, Query(description="Those of the categories below it too.")] = False,
) -> Page[Product] | CursorPage[Product]:
    """List the active products of a category; with `recursive=true` those of the categories below it too."""
    statement = select(Product).where(col(Product.is_active))
    if recursive:
        statement = statement.where(col(Product.category_id).in_(select(tree.branch(category.id).c.id)))
    else:
        statement = statement.where(Product.category_id == category.id)
    return await paginate(session, statement, paging, model=Product, sort="name")


@router.post("", status_code=201, response_model=CategoryRead, responses=problems(409))
async def create_category(data: CategoryCreate, session: WriteSession, user: Staff) -> Category:
    """Add a category, at the top or under a parent."""
    await tree.check_parent(session, data.parent_id)
    slug = await free_slug(session, Category, data.slug, data.name)
    category = Category.model_validate(data, update={"slug": slug})
    session.add(category)
    await session.flush()
    return category


@router.put("/{id}", response_model=CategoryRead, responses=problems(404, 409))
async def replace_category(data: CategoryCreate, category: CategoryToWrite, session: WriteSession) -> Category:
    """Replace all that can be written of a category: what is absent is cleared, an absent slug is kept."""
    await tree.check_parent(session, data.parent_id, of=category.id)
    category.sqlmodel_update(data, update={"slug": data.slug or category.slug})
    await session.flush()
    return category


@router.patch("/{id}", response_model=CategoryRead, responses=problems(404, 409))
async def update_category(data: CategoryUpdate, category: CategoryToWrite, session: WriteSession) -> Category:
    """Change only what is sent."""
    await tree.check_parent(session, data.parent_id, of=category.id)
    category.sqlmodel_update(data.model_dump(exclude_unset=True))
    await session.flush()
    return category


@router.delete("/{id}", status_code=204, responses=problems(404))
async def delete_category(category: CategoryToWrite, session: WriteSession) -> None:
    """Delete a category: those below it move up to its parent, its products are left without one."""
    await tree.remove(session, category)
