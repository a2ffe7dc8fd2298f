"""/orders where no notification can be written: orders are placed, delivered and cancelled all the same."""

from collections.abc import AsyncIterator
from itertools import count

import pytest
from httpx import AsyncClient
from sqlalchemy import text
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from tests.books import assert_stock_equals_movements, stock_of
from tests.factories import a_product
from tests.routes.orders.support import bring_to, place_order

numbers = count(1)


@pytest.fixture(params=["refused", "missing"])
async def broken_notifications(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[None]:
    """Break the table of notifications: the database refuses every new row, or the table is missing.

    Each test uses a new name, because a connection of SQLite may still know a trigger that another one has dropped.
    """
    name, table = f"broken_{next(numbers)}", "notifications"
    if request.param == "missing":
        break_table, repair_table = f"ALTER TABLE {table} RENAME TO {name}", f"ALTER TABLE {name} RENAME TO {table}"
    elif database.backend == "sqlite":
        break_table = f"CREATE TRIGGER {name} BEFORE INSERT ON {table} BEGIN SELECT RAISE(ABORT, 'broken'); END"
        repair_table = f"DROP TRIGGER {name}"
    else:
        break_table = f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK (message IS NULL)"
        repair_table = f"ALTER TABLE {table} DROP CONSTRAINT {name}"
    async with database.engine.connect() as connection:
        await connection.execute(text(break_table))
    try:
        yield
    finally:
        async with database.engine.connect() as connection:
            await connection.execute(text(repair_table))


class TestOrdersWithoutNotifications:
    @pytest.mark.usefixtures("broken_notifications")
    async def test_an_order_is_placed_and_delivered_when_notifications_fail(
        self, as_customer: AsyncClient, as_staff: AsyncClient, session: AsyncSession, caplog: pytest.LogCaptureFixture
    ) -> None:
        product = await a_product(session, stock_quantity=10)

        order = await place_order(as_customer, (product, 4))
        await bring_to(as_staff, order["id"], "delivered")

        assert (await as_customer.get(f"/orders/{order['id']}")).json()["status"] == "delivered"
        assert await stock_of(session, product) == 6
        assert (await as_customer.get(f"/orders/{order['id']}/events")).json()["total"] == 4
        assert "A notification could not be written." in caplog.text
        await assert_stock_equals_movements(session)

    @pytest.mark.usefixtures("broken_notifications")
    async def test_an_order_is_cancelled_when_notifications_fail(
        self, as_customer: AsyncClient, session: AsyncSession, caplog: pytest.LogCaptureFixture
    ) -> None:
        product = await a_product(session, stock_quantity=10)
        order = await place_order(as_customer, (product, 4))

        assert (await as_customer.post(f"/orders/{order['id']}/cancel")).status_code == 200

        assert await stock_of(session, product) == 10
        assert caplog.text.count("A notification could not be written.") == 2
        await assert_stock_equals_movements(session)
