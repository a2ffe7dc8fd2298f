"""Filling a shop: the same again by the same seed, more of it, refused, and interrupted."""

import asyncio
import re
from collections.abc import Sequence

import pytest
from sqlmodel import func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.commands.verify import verify
from api.database.sessions import Database
from api.demo.fill import Size, fill
from api.errors import Conflict
from api.models.order import Order
from api.models.product import Product
from api.models.user import User
from tests.demo.support import SMALL, UNTIL, fill_small
from tests.seed import Seed, all_rows


class TestFill:
    @pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
    async def test_the_same_seed_gives_the_same_rows_but_for_order_numbers(
        self, database: Database, session: AsyncSession, seed: Seed
    ) -> None:
        shops = []
        for number in (4, 4, 5):
            await fill_small(database, session, seed=number)
            shops.append(without_order_numbers(await all_rows(session)))
            await seed.restore(database)
        assert shops[0] == shops[1]
        assert shops[0] != shops[2]

    async def test_more_is_added_to_a_shop_that_is_filled(self, database: Database, session: AsyncSession) -> None:
        half = Size(products=30, customers=10, orders=20)
        await fill_small(database, session, half)
        await fill(database, half, seed=4, until=UNTIL)
        await fill(database, half, seed=5, until=UNTIL)

        assert (await session.exec(select(func.count()).select_from(Product))).one() == 90
        assert (await session.exec(select(func.count()).select_from(User))).one() == 31
        assert await verify(database)

    async def test_orders_without_anybody_to_place_them_are_refused(
        self, database: Database, session: AsyncSession
    ) -> None:
        with pytest.raises(Conflict, match="Orders need products"):
            await fill_small(database, session, Size(products=5, customers=0, orders=1))

    async def test_a_shop_without_staff_is_refused(self, database: Database) -> None:
        with pytest.raises(Conflict, match="There is no staff user"):
            await fill(database, SMALL, seed=1, until=UNTIL)

    async def test_an_interrupted_fill_leaves_right_books(self, database: Database, session: AsyncSession) -> None:
        filling = asyncio.create_task(fill_small(database, session, Size(products=50, customers=20, orders=5_000)))
        while await orders_in(session) < 100:  # noqa: ASYNC110 - the rows alone say how far it is
            await asyncio.sleep(0.05)
        filling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await filling

        assert await verify(database)
        assert 100 <= await orders_in(session) < 5_000


async def orders_in(session: AsyncSession) -> int:
    return (await session.exec(select(func.count()).select_from(Order))).one()


def without_order_numbers(rows: dict[str, list[str]]) -> dict[str, Sequence[str]]:
    """They are random, and stand in messages too."""
    number = re.compile(r"ORD-\w{4}-\w{4}-\w{4}")
    return {table: sorted(number.sub("ORD", each) for each in found) for table, found in rows.items()}
