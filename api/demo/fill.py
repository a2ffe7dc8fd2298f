"""Fills a shop: products, customers, posts, and what happened between them in the last 90 days.

The same seed and the same end give the same shop, but for order numbers, which are random as always. Whatever
interrupts it, the books are right: what depends on each other is written in one transaction.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from random import Random
from typing import Any

from sqlmodel import col, func, not_, select
from tqdm import tqdm

from api.database.sessions import Database
from api.demo.agenda import Agenda
from api.demo.arrivals import DAYS, arrivals
from api.demo.customers import customers
from api.demo.market import open_market
from api.demo.posts import add_posts
from api.demo.shelves import add_products
from api.demo.stories import Stories
from api.errors import Conflict
from api.models.base import at
from api.models.user import User

BATCH = 1_000
"""Customers of one transaction."""

FIRST_JOINED = timedelta(days=720)
"""How long ago. Since then as many join each day, so that one in eight joined while the orders came."""

ORDERS_PER_CREDIT = 20
"""Orders for each time that somebody gets store credit."""


@dataclass(frozen=True)
class Size:
    products: int = 200
    customers: int = 150
    orders: int = 600


async def fill(database: Database, size: Size, *, seed: int, until: datetime) -> int:
    """Fill a shop that has staff, show on a terminal how far it is, and return how many orders were placed.

    Those are fewer than were asked for where everything is sold out.

    Raises:
        Conflict: There is no staff user, or orders have no products or no customers.
    """
    async with database.reads() as session:
        market = await open_market(session, Random(seed))
    if not market.staff:
        raise Conflict("There is no staff user who could do the work.")
    if size.orders and not ((market.goods or size.products) and (market.customers or size.customers)):
        raise Conflict("Orders need products that are for sale, and customers.")
    with _bar("products", size.products) as bar:
        await add_products(database, size.products, seed, until, market.staff[0], bar.update)
    with _bar("customers", size.customers) as bar:
        await _add_customers(database, size.customers, until, bar.update)
    async with database.transaction() as session:
        await add_posts(session, seed, until, market.staff)
    if not size.orders:
        return 0
    with _bar("orders", size.orders) as bar:
        return await _let_days_pass(database, size.orders, seed, until, bar.update)


def _bar(title: str, total: int) -> "tqdm[Any]":
    """Shown on a terminal alone."""
    return tqdm(desc=f"{title:9}", total=total, disable=None, unit="", dynamic_ncols=True)


async def _add_customers(database: Database, number: int, until: datetime, count: Callable[[int], object]) -> None:
    """Add customers who cannot sign in, because they have no password."""
    async with database.reads() as session:
        first = (await session.exec(select(func.max(User.id)).where(not_(col(User.is_superuser))))).one() or 0
    found = islice(customers(first), number)
    added = 0
    while batch := list(islice(found, BATCH)):
        async with database.transaction() as session:
            for each in batch:
                joined = until - FIRST_JOINED * (1 - added / number)
                session.add(User(**each, hashed_password="", created_at=joined, updated_at=joined))
                added += 1
            with at(joined):
                await session.flush()
        count(len(batch))


async def _let_days_pass(
    database: Database, number: int, seed: int, until: datetime, count: Callable[[int], object]
) -> int:
    chance = Random(f"{seed} orders")
    async with database.reads() as session:
        market = await open_market(session, chance)
    agenda = Agenda(until)
    stories = Stories(market, agenda, count)
    start = until - timedelta(days=DAYS)
    await agenda.begin(stories.orders(arrivals(chance, number, until)), start)
    await agenda.begin(stories.credit(arrivals(chance, number // ORDERS_PER_CREDIT, until)), start)
    await agenda.run(database)
    return stories.placed
