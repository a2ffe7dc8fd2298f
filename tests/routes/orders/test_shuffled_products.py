"""Orders, cancellations and changes of stock at once, on products that lie in another order than that of their ids.

Rows are locked in ascending id order, whatever order a statement would find them in. So nothing is a deadlock: none is
counted, on any database, though a deadlock would be run again and nobody would notice.
"""

import asyncio
import logging
import random

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.commands.verify import verify
from api.database.sessions import Database
from api.models.product import Product
from tests.databases import Backend
from tests.factories import a_product, order_body
from tests.routes.orders.support import place_order
from tests.timeouts import long_timeouts
from tests.web.support import run

PRODUCTS = 24
LINES = 8
ROUNDS = 60

SHUFFLE = {
    # Each version of a row is written at the end of the table, and CLUSTER writes all in the order of an index.
    "postgresql": (
        "CREATE INDEX ix_shuffle ON products (md5(id::text))",
        "CLUSTER products USING ix_shuffle",
        "DROP INDEX ix_shuffle",
        "ANALYZE products",
    ),
    # InnoDB keeps rows in the order of their ids: what finds them in another one is an index, such as that of SKUs.
    "mariadb": ("ANALYZE TABLE products",),
    # So does SQLite, whose writer is alone anyway.
    "sqlite": ("ANALYZE products",),
}


@pytest.fixture
async def products(session: AsyncSession, database: Database, backend: Backend) -> list[Product]:
    """Products whose SKUs, names and prices are in no order, and which PostgreSQL has written in none."""
    number = random.Random(10)
    found = [
        await a_product(
            session, sku=f"{number.getrandbits(40):X}", price=f"{number.randint(1, 99)}.00", stock_quantity=9_000
        )
        for _ in range(PRODUCTS)
    ]
    for statement in SHUFFLE[backend.name]:
        await run(session, statement)
    return found


async def test_no_deadlock_among_orders_cancellations_and_stock_changes(
    as_customer: AsyncClient,
    as_other_customer: AsyncClient,
    as_staff: AsyncClient,
    database: Database,
    session: AsyncSession,
    products: list[Product],
    backend: Backend,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if backend.name == "postgresql":
        found = list((await run(session, "SELECT id FROM products")).scalars())
        assert found != sorted(found), "the products lie in the order of their ids"
    pick = random.Random(11)
    customers = (as_customer, as_other_customer)

    def some() -> list[tuple[Product, int]]:
        return [(product, pick.randint(1, 3)) for product in pick.sample(products, LINES)]

    with long_timeouts(database):
        placed = [(client, await place_order(client, *some())) for _ in range(ROUNDS // 2) for client in customers]
        caplog.set_level(logging.INFO, "api.web.transactions")
        responses = await asyncio.gather(
            *(client.post("/orders", json=order_body(*some())) for _ in range(ROUNDS) for client in customers),
            *(client.post(f"/orders/{order['id']}/cancel") for client, order in placed),
            *(
                as_staff.post(f"/products/{pick.choice(products).id}/stock", json={"delta": 1, "reason": "Delivery"})
                for _ in range(ROUNDS)
            ),
            *(
                as_staff.patch(f"/products/{pick.choice(products).id}", json={"price": "5.00"})
                for _ in range(ROUNDS // 2)
            ),
        )

    again = [record.getMessage() for record in caplog.records if "is run again" in record.getMessage()]
    assert again == [], f"{len(again)} of {len(responses)} requests were run again"
    assert {response.status_code for response in responses} == {200, 201}
    assert await verify(database)
