"""Adding products: with their slugs, and with the movements of their first stock."""

from collections.abc import Callable, Sequence

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.row_ids import reserve_ids
from api.errors import Unprocessable
from api.models.category import Category
from api.models.product import Product, ProductBase, ProductCreate, ProductUpdate
from api.rules import stock
from api.rules.slugs import free_slugs
from api.rules.unique_values import flush_unique


async def add(
    session: AsyncSession,
    data: Sequence[ProductCreate],
    user_id: int | None,
    *,
    in_list: bool,
    is_reserved: Callable[[str], bool] = lambda _: False,
) -> list[Product]:
    """Add products; `user_id` is whoever adds them, `in_list` says whether the body is a list of these.

    `is_reserved` says of a slug whether another product is about to get it.

    Raises:
        Unprocessable: A category does not exist.
        Conflict: One of the products has a value of another product.
    """
    await check_categories(session, *data, in_list=in_list)
    slugs = await free_slugs(session, Product, [(each.slug, each.name) for each in data], is_reserved)
    ids = await reserve_ids(session, Product, len(data))
    products = [
        Product.model_validate(each, update={"slug": slug, **row_id})
        for each, slug, row_id in zip(data, slugs, ids, strict=True)
    ]
    await flush_unique(session, products, data, in_list=in_list)
    await stock.record_initial(session, products, user_id)
    await session.flush()
    return products


async def check_categories(session: AsyncSession, *data: ProductBase | ProductUpdate, in_list: bool = False) -> None:
    """
    Raises:
        Unprocessable: A category does not exist.
    """
    if wanted := {each.category_id for each in data if each.category_id is not None}:
        found = (await session.exec(select(Category.id).where(col(Category.id).in_(wanted)))).all()
        for index, category_id in enumerate(each.category_id for each in data):
            if category_id not in (None, *found):
                place = f"body.{index}.category_id" if in_list else "body.category_id"
                raise Unprocessable(place, f"the category {category_id} does not exist")
