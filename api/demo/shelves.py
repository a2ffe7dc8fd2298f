"""Writes the catalogue: categories, and products with their stock."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.demo.arrivals import DAYS
from api.demo.content import Leaf, catalog
from api.demo.products import products_of
from api.models.base import at
from api.models.category import Category
from api.models.product import Product
from api.rules import category_tree, stock
from api.rules.slugs import free_slug, free_slugs

BATCH = 1_000
"""Products of one transaction, which takes less than a second: other writes wait no longer."""

ORDERED = timedelta(days=DAYS)
AGE = timedelta(days=400)
"""Of the shop: its products came one after the other until the days of the orders began."""


async def add_products(
    database: Database, number: int, seed: int, until: datetime, staff_id: int, count: Callable[[int], object]
) -> None:
    """Add so many products to all categories in turn. Each batch has a day of its own."""
    opened = until - AGE
    async with database.transaction() as session:
        with at(opened):
            categories = await _add_categories(session)
        first = await _first_free_number(session)
    found = islice(_rows(categories, seed, first), number)
    added = 0
    while batch := list(islice(found, BATCH)):
        days = [opened + (AGE - ORDERED) * ((added + each) / number) for each in range(len(batch))]
        async with database.transaction() as session:
            await _add_batch(session, batch, days, staff_id)
        added += len(batch)
        count(len(batch))


async def _add_batch(
    session: AsyncSession, batch: Sequence[dict[str, Any]], days: Sequence[datetime], staff_id: int
) -> None:
    slugs = await free_slugs(session, Product, [(None, row["name"]) for row in batch])
    products = [
        Product(**row, slug=slug, created_at=day, updated_at=day)
        for row, slug, day in zip(batch, slugs, days, strict=True)
    ]
    session.add_all(products)
    with at(days[-1]):
        await session.flush()
        await stock.record_initial(session, products, staff_id)
        await session.flush()


async def _first_free_number(session: AsyncSession) -> int:
    """The first that no category has given to a product yet."""
    highest = 0
    for leaf in _leaves():
        given = select(Product.sku).where(col(Product.sku).startswith(f"{leaf.code}-"))
        numbers = (each.rpartition("-")[2] for each in (await session.exec(given)).all())
        highest = max([highest, *(int(each) for each in numbers if each.isdecimal())])
    return highest


def _leaves() -> list[Leaf]:
    return [leaf for department in catalog().departments for shelf in department.shelves for leaf in shelf.leaves]


def _rows(categories: Sequence[int], seed: int, first: int) -> Iterator[dict[str, Any]]:
    """The products of all categories, in turn."""
    sources = [products_of(leaf, catalog().series, seed, first) for leaf in _leaves()]
    while True:
        for source, category_id in zip(sources, categories, strict=True):
            yield {**next(source), "category_id": category_id}


async def _add_categories(session: AsyncSession) -> list[int]:
    """Add the categories that are missing, and return the ids of those that have products."""
    leaves = []
    for department in catalog().departments:
        department_id = await _category_id(session, department.name, department.description, None)
        for shelf in department.shelves:
            shelf_id = await _category_id(session, shelf.name, shelf.description, department_id)
            leaves += [await _category_id(session, leaf.name, leaf.description, shelf_id) for leaf in shelf.leaves]
    return leaves


async def _category_id(session: AsyncSession, name: str, description: str, parent_id: int | None) -> int:
    """The id of a category, which is added now if there is none of this name."""
    found = (await session.exec(select(Category.id).where(col(Category.name) == name))).first()
    if found is not None:
        return found
    await category_tree.check_parent(session, parent_id)
    slug = await free_slug(session, Category, None, name)
    category = Category(name=name, slug=slug, description=description, parent_id=parent_id)
    session.add(category)
    await session.flush()
    return category.id
