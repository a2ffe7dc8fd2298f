"""Products and their stock."""

from functools import cache
from typing import Annotated

from fastapi import Body, Depends, Query
from pydantic import AfterValidator, BaseModel, Field
from sqlmodel import bindparam, case, col, delete, exists, func, not_, select, update
from sqlmodel.sql.expression import SelectOfScalar

from api.auth.callers import OptionalUser, Staff, is_staff
from api.errors import Forbidden
from api.models.category import Category
from api.models.money import AmountLimit, average
from api.models.order_item import OrderItem
from api.models.product import (
    LOW_STOCK,
    MAX_STOCK,
    Product,
    ProductBase,
    ProductCreate,
    ProductRead,
    ProductReadWithCategory,
    ProductSort,
    ProductUpdate,
    stored_sku,
)
from api.models.reports import CategoryStats
from api.models.stock_movement import StockMovement, StockMovementCreate, StockMovementRead, StockReason
from api.models.user import Caller, any_caller
from api.reads.pages import read_page
from api.reads.rows import Read, read_one
from api.rules import products, stock
from api.rules.unique_values import flush_unique
from api.web.loading import PathId, PathText, QueryId, get_or_404
from api.web.pagination import CursorPage, GroupParams, Page, Paging, PagingParams
from api.web.problems import problems
from api.web.routing import Router
from api.web.search import SearchText
from api.web.sessions import ReadSession, WriteSession

router = Router("/products", tag="products")

MAX_BULK_PRODUCTS = 500
"""Two statements of 500 rows stay below SQLite's 32,766 parameters: a product has 12 columns, a movement 7."""

PriceLimit = Annotated[AmountLimit | None, Field(description="The limit itself is included.", examples=["50.00"])]


class ProductFilters(BaseModel):
    search: SearchText | None = None
    category_id: QueryId | None = Field(default=None, description="Only products of this category.")
    min_price: PriceLimit = None
    max_price: PriceLimit = None
    in_stock: bool | None = Field(default=None, description="`true`: only in stock; `false`: only out of stock.")
    is_active: bool | None = Field(default=None, description="`true`: only active; `false`: only inactive (staff).")


class ProductList(ProductFilters, Paging):
    sort: ProductSort = Field(default=ProductSort.NEWEST, description="A leading minus sorts in descending order.")


class LowStockList(Paging):
    threshold: int = Field(default=LOW_STOCK, ge=0, le=MAX_STOCK, description="Units in stock, at most.")


@cache
def _visible_products(is_staff: bool) -> SelectOfScalar[Product]:
    """The products that staff users, or all others, may read.
    Built once for each, like the next: these are run most often, and building takes as long as running.
    """
    return select(Product).where(Product.visible_to(any_caller(is_staff)))


@cache
def _visible_product(is_staff: bool) -> SelectOfScalar[Product]:
    return _visible_products(is_staff).where(col(Product.id) == bindparam("id"))


def filtered(query: ProductFilters, user: Caller | None) -> SelectOfScalar[Product]:
    """The products that a user may read and the filters find.

    Raises:
        Forbidden: Only staff may see inactive products.
    """
    found = _visible_products(is_staff(user))
    if query.search is not None:
        found = found.where(Product.matches(query.search))
    if query.category_id is not None:
        found = found.where(Product.category_id == query.category_id)
    if query.min_price is not None:
        found = found.where(col(Product.price) >= query.min_price)
    if query.max_price is not None:
        found = found.where(col(Product.price) <= query.max_price)
    if query.in_stock is not None:
        found = found.where((col(Product.stock_quantity) > 0) == query.in_stock)
    if query.is_active is not None:
        if not query.is_active and not is_staff(user):
            raise Forbidden("Only staff may list inactive products.")
        found = found.where(Product.is_active == query.is_active)
    return found


async def _product_to_write(product_id: PathId, session: WriteSession, staff: Staff) -> Product:
    return await get_or_404(session, Product, product_id, lock=True)


ProductToWrite = Annotated[Product, Depends(_product_to_write)]


@router.get(
    "", response_model=Page[ProductReadWithCategory] | CursorPage[ProductReadWithCategory], responses=problems(403)
)
async def list_products(user: OptionalUser, query: Annotated[ProductList, Query()]) -> Read:
    """List products with their categories. Only staff see inactive products."""
    return read_page(filtered(query, user), query, sort=query.sort)


@router.get("/stats/by-category")
async def read_category_stats(session: ReadSession, paging: GroupParams) -> list[CategoryStats]:
    """Summarise the active products of each category, by name."""
    price, units = col(Product.price), col(Product.stock_quantity)
    statement = (
        select(col(Category.id).label("category_id"), col(Category.name).label("category"))
        .add_columns(func.count().label("products"), func.sum(case((units > 0, 1), else_=0)).label("in_stock"))
        .add_columns(func.sum(units).label("units"), func.sum(price).label("total_price"))
        .add_columns(func.min(price).label("lowest_price"), func.max(price).label("highest_price"))
        .select_from(Product)
        .outerjoin(Category, col(Product.category_id) == col(Category.id))
        .where(col(Product.is_active))
        .group_by(col(Category.id), col(Category.name))
        .order_by(col(Category.name).is_(None), col(Category.name))
    )
    # SQLModel's select() has types for four columns at most.
    rows = [dict(row) for row in (await session.exec(paging.of(statement))).mappings()]  # type: ignore[call-overload]
    return [CategoryStats(average_price=average(row.pop("total_price"), row["products"]), **row) for row in rows]


@router.get("/low-stock", response_model=Page[ProductRead] | CursorPage[ProductRead])
async def list_low_stock(staff: Staff, query: Annotated[LowStockList, Query()]) -> Read:
    """List active products that are low in stock, the lowest first."""
    low = select(Product).where(col(Product.is_active), col(Product.stock_quantity) <= query.threshold)
    return read_page(low, query, sort="stock_quantity")


@router.get("/by-sku/{sku}", response_model=ProductReadWithCategory, responses=problems(404))
async def read_product_by_sku(sku: Annotated[PathText, AfterValidator(stored_sku)], user: OptionalUser) -> Read:
    """Read a product by its SKU, in upper or lower case."""
    return read_one(select(Product).where(Product.sku == sku, Product.visible_to(user)))


@router.get("/by-slug/{slug}", response_model=ProductReadWithCategory, responses=problems(404))
async def read_product_by_slug(slug: PathText, user: OptionalUser) -> Read:
    """Read a product by its slug."""
    return read_one(select(Product).where(Product.slug == slug, Product.visible_to(user)))


@router.get("/{id}", response_model=ProductReadWithCategory, responses=problems(404))
async def read_product(product_id: PathId, user: OptionalUser) -> Read:
    """Read a product with its category."""
    return read_one(_visible_product(is_staff(user)), id=product_id)


@router.post("", status_code=201, response_model=ProductRead, responses=problems(409))
async def create_product(data: ProductCreate, session: WriteSession, staff: Staff) -> Product:
    """Add a product with its initial stock."""
    (product,) = await products.add(session, [data], staff.id, in_list=False)
    return product


@router.post("/bulk", status_code=201, response_model=list[ProductRead], responses=problems(409))
async def create_many_products(
    data: Annotated[list[ProductCreate], Body(min_length=1, max_length=MAX_BULK_PRODUCTS)],
    session: WriteSession,
    staff: Staff,
) -> list[Product]:
    """Add up to 500 products. If one cannot be added, none is."""
    return await products.add(session, data, staff.id, in_list=True)


@router.put("/{id}", response_model=ProductRead, responses=problems(404, 409))
async def replace_product(data: ProductBase, product: ProductToWrite, session: WriteSession) -> Product:
    """Replace all writable fields of a product but its stock; absent fields are cleared, but an absent slug is kept."""
    await products.check_categories(session, data)
    product.sqlmodel_update(data, update={"slug": data.slug or product.slug})
    await flush_unique(session, [product], [data])
    return product


@router.patch("/{id}", response_model=ProductRead, responses=problems(404, 409))
async def update_product(data: ProductUpdate, product: ProductToWrite, session: WriteSession) -> Product:
    """Change only the fields that are sent. The stock changes by `POST /products/{id}/stock`."""
    await products.check_categories(session, data)
    product.sqlmodel_update(data.model_dump(exclude_unset=True))
    await flush_unique(session, [product], [data])
    return product


@router.delete("/{id}", status_code=204, responses=problems(404))
async def delete_product(product: ProductToWrite, session: WriteSession) -> None:
    """Delete a product. A product that was ordered is deactivated instead."""
    this = col(Product.id) == product.id
    ordered = exists().where(col(OrderItem.product_id) == product.id)
    deleted = await session.exec(delete(Product).where(this, not_(ordered)))
    if deleted.rowcount == 0:
        await session.exec(update(Product).where(this, col(Product.is_active)).values(is_active=False))


@router.post(
    "/{id}/stock",
    status_code=201,
    response_model=StockMovementRead,
    responses=problems(404, 409),
)
async def change_stock(
    data: StockMovementCreate, product: ProductToWrite, session: WriteSession, staff: Staff
) -> StockMovement:
    """Add units to the stock or, with a negative `delta`, remove units; the reason is kept as the movement's note."""
    movement = StockMovement(
        product_id=product.id,
        delta=data.delta,
        reason=StockReason.ADJUSTMENT,
        note=data.reason,
        user_id=staff.id,
    )
    return await stock.change(session, movement)


@router.get(
    "/{id}/movements",
    response_model=Page[StockMovementRead] | CursorPage[StockMovementRead],
    responses=problems(404),
)
async def list_movements(product_id: PathId, session: ReadSession, staff: Staff, paging: PagingParams) -> Read:
    """List the stock movements of a product, the newest first."""
    await get_or_404(session, Product, product_id)
    return read_page(select(StockMovement).where(StockMovement.product_id == product_id), paging)
