"""Who buys what: a few customers order often, and a few products are ordered often."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from random import Random

from sqlmodel import col, not_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.money import ZERO
from api.models.product import Product
from api.models.user import User

MAX_RANGE = 50_000
"""Products that are ordered, and customers who order, at most: what they have is kept in mind."""

FAVOUR = 1.8
"""How much the favourites are preferred: with 1 not at all; the first of 150 customers places one order in 16."""

DEAR = Decimal(150)
"""Of a product above this price nobody orders two."""

PATIENCE = 100
"""How often a customer looks for something that is in stock."""

QUANTITIES, THEIR_WEIGHTS = (1, 2, 3, 4), (78, 15, 4, 3)


@dataclass
class Good:
    """A product for sale, and how many units are left of it."""

    id: int
    price: Decimal
    units: int
    is_running_out: bool = False
    """Whether few are left, and it was decided whether more are bought in."""


@dataclass
class Customer:
    id: int
    full_name: str | None
    joined: datetime
    credit: Decimal = ZERO


@dataclass
class Market:
    chance: Random
    goods: Sequence[Good]
    """The favourites first."""
    customers: Sequence[Customer]
    """In the order in which they joined."""
    staff: Sequence[int]

    def customer(self, moment: datetime) -> Customer:
        """One who has joined by then."""
        joined = bisect_right(self.customers, moment, key=lambda each: each.joined)
        return self.customers[self._one_of(joined or 1)]

    def on_duty(self) -> int:
        return self.chance.choice(self.staff)

    def basket(self, lines: int) -> list[tuple[Good, int]]:
        """So many products with their quantities, and fewer where some are sold out; none where all seem to be."""
        return next(filter(None, (self._look_around(lines) for _ in range(PATIENCE))), [])

    def _look_around(self, lines: int) -> list[tuple[Good, int]]:
        wanted = {self._one_of(len(self.goods)): self._quantity() for _ in range(lines)}
        found = [(self.goods[place], quantity) for place, quantity in wanted.items()]
        return [(good, 1 if good.price > DEAR else quantity) for good, quantity in found if good.units >= quantity]

    def _quantity(self) -> int:
        return self.chance.choices(QUANTITIES, THEIR_WEIGHTS)[0]

    def _one_of(self, length: int) -> int:
        return int(length * self.chance.random() ** FAVOUR)


async def open_market(session: AsyncSession, chance: Random) -> Market:
    """All that takes part. The same rows are found in the same order each time."""
    products = select(col(Product.id), col(Product.price), col(Product.stock_quantity)).where(col(Product.is_active))
    goods = [Good(*row) for row in (await session.exec(products.order_by(col(Product.id)).limit(MAX_RANGE))).all()]
    users = select(User.id, User.full_name, User.created_at).where(col(User.is_active), User.not_erased())
    customers = users.where(not_(col(User.is_superuser))).order_by(col(User.created_at), col(User.id))
    staff = select(User.id).where(col(User.is_superuser), col(User.is_active)).order_by(col(User.id))
    chance.shuffle(goods)
    return Market(
        chance=chance,
        goods=goods,
        customers=[Customer(*row) for row in (await session.exec(customers.limit(MAX_RANGE))).all()],
        staff=(await session.exec(staff)).all(),
    )
