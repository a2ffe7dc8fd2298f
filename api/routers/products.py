"""/products: what the shop sells. Anyone reads what is active, staff keep all of it."""

from typing import Annotated

from fastapi import APIRouter, Body, Depends, Query
from sqlalchemy import ColumnElement, case, func, true
from sqlalchemy.orm import joinedload
from sqlmodel import col, delete, exists, not_, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth import OptionalUser, Staff
from api.database import ReadSession, WriteSession
from api.errors import Forbidden, Unprocessable, problems
from api.loading import PathId, PathText, QueryId, get_or_404, one_or_404
from api.models import (
    Category,
    CategoryStats,
    OrderItem,
    Product,
    ProductBase,
    ProductCreate,
    ProductRead,
    ProductReadWithCategory,
    ProductSort,
    ProductUpdate,
    StockMovement,
    StockMovementCreate,
    StockMovementRead,
    StockReason,
)
from api.models.base import MAX_STOCK, AmountLimit, average
from api.pagination import CursorPage, Page, PagingParams, paginate
from api.rules import stock
from api.rules.slugs import free_slugs
from api.search import SearchText, contains
from api.transactions import Idempotent, TransactionRoute

router = APIRouter(prefix="/products", tags=["products"], route_class=TransactionRoute)

with_category = joinedload(Product.category)  # type: ignore[arg-type]

PriceLimit = Annotated[AmountLimit | None, Query(description="Inclusive.", examples=["50.00"])]


async def _visible(user: OptionalUser) -> ColumnElement[bool]:
    """The products that the caller may see."""
    return true() if user and user.is_superuser else col(Product.is_active).is_(true())


VisibleProducts = Annotated[ColumnElement[bool], Depends(_visible)]


async def _product_to_write(product_id: PathId, session: WriteSession, user: Staff) -> Product:
    return await get_or_404(session, Product, product_id, lock=True)


ProductToWrite = Annotated[Product, Depends(_product_to_write)]


@router.get(
    "", response_model=Page[ProductReadWithCategory] | CursorPage[ProductReadWithCategory], responses=problems(403)
)
async def list_products(
    session: ReadSession,
    user: OptionalUser,
    visible: VisibleProducts,
    paging: PagingParams,
    search: SearchText | None = None,
    category_id: Annotated[QueryId | None, Query(description="Only this category's.")] = None,
    min_price: PriceLimit = None,
    max_price: PriceLimit = None,
    in_stock: Annotated[bool | None, Query(description="Only with, or only without stock.")] = None,
    is_active: Annotated[bool | None, Query(description="Only active, or only inactive ones (staff).")] = None,
    sort: Annotated[ProductSort, Query(description="A minus reverses.")] = ProductSort.NEWEST,
) -> Page[Product] | CursorPage[Product]:
    """List products with their categories; inactive ones are for staff alone."""
    products = select(Product).where(visible).options(with_category)
    if search is not None:
        products = products.where(contains(search, Product.name, Product.sku, Product.description))
    if category_id is not None:
        products = products.where(Product.category_id == category_id)
    if min_price is not None:
        products = products.where(col(Product.price) >= min_price)
    if max_price is not None:
        products = products.where(col(Product.price) <= max_price)
    if in_stock is not None:
        products = products.where((col(Product.stock_quantity) > 0) == in_stock)
    if is_active is not None:
        if not is_active and not (user and user.is_superuser):
            raise Forbidden("Only staff may list inactive products.")
        products = products.where(Product.is_active == is_active)
    return await paginate(session, products, paging, model=Product, sort=sort)


@router.get("/stats/by-category")
async def read_category_stats(session: ReadSession) -> list[CategoryStats]:
    """Summarise the active products of each category."""
    statement = (
        select(col(Category.id).label("category_id"), col(Category.name).label("category"))
        .add_columns(
            func.count().label("products"),
            func.sum(case((col(Product.stock_quantity) > 0, 1), else_=0)).label("in_stock"),
            func.sum(Product.stock_quantity).label("units"),
            func.sum(Product.price).label("total_price"),
            func.min(Product.price).label("lowest_price"),
            func.max(Product.price).label("highest_price"),
        )
        .select_from(Product)
        .outerjoin(Category, col(Product.category_id) == col(Category.id))
        .where(col(Product.is_active))
        .group_by(col(Category.id), col(Category.name))
        .order_by(col(Category.name).is_(None), col(Category.name))
    )
    rows = [dict(row._mapping) for row in await session.exec(statement)]  # type: ignore[call-overload]
    return [CategoryStats(average_price=average(row.pop("total_price"), row["products"]), **row) for row in rows]


@router.get("/low-stock", response_model=Page[ProductRead] | CursorPage[ProductRead])
async def list_low_stock(
    session: ReadSession,
    user: Staff,
    paging: PagingParams,
    threshold: Annotated[int, Query(ge=0, le=MAX_STOCK, description="Units on hand, at most.")] = 10,
) -> Page[Product] | CursorPage[Product]:
    """List active products of which few are left, the fewest first."""
    scarce = select(Product).where(col(Product.is_active), col(Product.stock_quantity) <= threshold)
    return await paginate(session, scarce, paging, model=Product, sort="stock_quantity")


@router.get("/by-sku/{sku}", response_model=ProductReadWithCategory, responses=problems(404))
async def read_product_by_sku(sku: PathText, session: ReadSession, visible: VisibleProducts) -> Product:
    """Read the product with a SKU."""
    return await one_or_404(session, Product, Product.sku == sku, visible, options=[with_category])


@router.get("/by-slug/{slug}", response_model=ProductReadWithCategory, responses=problems(404))
async def read_product_by_slug(slug: PathText, session: ReadSession, visible: VisibleProducts) -> Product:
    """Read the product with a slug."""
    return await one_or_404(session, Product, Product.slug == slug, visible, options=[with_category])


@router.get("/{id}", response_model=ProductReadWithCategory, responses=problems(404))
async def read_product(product_id: PathId, session: ReadSession, visible: VisibleProducts) -> Product:
    """Read a product with its category."""
    return await one_or_404(session, Product, Product.id == product_id, visible, options=[with_category])


@router.post("", status_code=201, response_model=ProductRead, responses=problems(409))
async def create_product(data: ProductCreate, session: WriteSession, user: Staff) -> Product:
    """Add a product, with its first stock."""
    (product,) = await _create(session, [data], user.id)
    return product


@router.post("/bulk", status_code=201, response_model=list[ProductRead], responses=problems(409))
async def create_products(
    data: Annotated[list[ProductCreate], Body(min_length=1, max_length=500)], session: WriteSession, user: Staff
) -> list[Product]:
    """Add up to 500 products: all of them or, where one cannot be, none."""
    return await _create(session, data, user.id)


async def _create(session: AsyncSession, data: list[ProductCreate], user_id: int) -> list[Product]:
    await _check_categories(session, {each.category_id for each in data})
    slugs = await free_slugs(session, Product, [(each.slug, each.name) for each in data])
    products = [Product.model_validate(each, update={"slug": slug}) for each, slug in zip(data, slugs, strict=True)]
    session.add_all(products)
    await session.flush()
    stock.record_initial(session, products, user_id)
    await session.flush()
    return products


async def _check_categories(session: AsyncSession, category_ids: set[int | None]) -> None:
    wanted = category_ids - {None}
    if wanted:
        found = (await session.exec(select(Category.id).where(col(Category.id).in_(wanted)))).all()
        if missing := wanted - set(found):
            raise Unprocessable("body.category_id", f"there is no category {min(missing)}")  # type: ignore[type-var]


@router.put("/{id}", response_model=ProductRead, responses=problems(404, 409))
async def replace_product(data: ProductBase, product: ProductToWrite, session: WriteSession) -> Product:
    """Replace all that can be written of a product but its stock: what is absent is cleared, an absent slug is kept."""
    await _check_categories(session, {data.category_id})
    product.sqlmodel_update(data, update={"slug": data.slug or product.slug})
    await session.flush()
    return product


@router.patch("/{id}", response_model=ProductRead, responses=problems(404, 409))
async def update_product(data: ProductUpdate, product: ProductToWrite, session: WriteSession) -> Product:
    """Change only what is sent. The stock changes by `POST /products/{id}/stock`."""
    await _check_categories(session, {data.category_id})
    product.sqlmodel_update(data.model_dump(exclude_unset=True))
    await session.flush()
    return product


@router.delete("/{id}", status_code=204, responses=problems(404))
async def delete_product(product: ProductToWrite, session: WriteSession) -> None:
    """Delete a product or, once it has been ordered, deactivate it."""
    this = col(Product.id) == product.id
    ordered = exists().where(col(OrderItem.product_id) == product.id)
    deleted = await session.exec(delete(Product).where(this, not_(ordered)))
    if deleted.rowcount == 0:
        await session.exec(update(Product).where(this).values(is_active=False))


@router.post(
    "/{id}/stock",
    status_code=201,
    response_model=StockMovementRead,
    responses=problems(404, 409),
    dependencies=[Idempotent],
)
async def change_stock(
    data: StockMovementCreate, product: ProductToWrite, session: WriteSession, user: Staff
) -> StockMovement:
    """Add units to the stock or, with a `delta` below zero, take some; the reason is kept as the movement's note."""
    movement = StockMovement(
        product_id=product.id,
        delta=data.delta,
        reason=StockReason.ADJUSTMENT,
        note=data.reason,
        user_id=user.id,
    )
    return await stock.change(session, movement)


@router.get(
    "/{id}/movements",
    response_model=Page[StockMovementRead] | CursorPage[StockMovementRead],
    responses=problems(404),
)
async def list_movements(
    product_id: PathId, session: ReadSession, user: Staff, paging: PagingParams
) -> Page[StockMovement] | CursorPage[StockMovement]:
    """List why the stock is what it is, the latest first."""
    await get_or_404(session, Product, product_id)
    movements = select(StockMovement).where(StockMovement.product_id == product_id)
    return await paginate(session, movements, paging, model=StockMovement)
