"""The stock of each product equals the sum of its movements, whatever happens to it."""

import asyncio

from httpx import AsyncClient
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.product import Product
from api.models.stock_movement import StockMovement
from api.models.user import User
from tests.books import assert_stock_equals_movements, stock_of
from tests.factories import a_product, order_body


async def add_product(as_staff: AsyncClient, session: AsyncSession, stock: int) -> Product:
    """Add a product with an initial stock through the API."""
    sent = {"name": f"Product {stock}", "sku": f"P-{stock}", "price": "9.99", "stock_quantity": stock}
    response = await as_staff.post("/products", json=sent)
    return await session.get_one(Product, response.json()["id"])


class TestStockEqualsMovements:
    async def test_stock_equals_movements_after_every_kind_of_change(
        self, as_staff: AsyncClient, as_customer: AsyncClient, session: AsyncSession, customer: User, staff: User
    ) -> None:
        first, second = await add_product(as_staff, session, 10), await add_product(as_staff, session, 20)
        await assert_stock_equals_movements(session)

        await as_staff.post(f"/products/{first.id}/stock", json={"delta": 5, "reason": "Delivery"})
        await assert_stock_equals_movements(session)
        order = (await as_customer.post("/orders", json=order_body((first, 2), (second, 3)))).json()
        await assert_stock_equals_movements(session)
        await as_customer.post("/orders", json=order_body((first, 2), (second, 3), (second, 10_000)))
        await assert_stock_equals_movements(session)
        await as_staff.put(f"/products/{first.id}", json={"name": "New", "sku": "NEW", "price": 1})
        await as_staff.patch(f"/products/{second.id}", json={"is_active": False})
        await assert_stock_equals_movements(session)
        await as_staff.post(f"/orders/{order['id']}/cancel")
        await assert_stock_equals_movements(session)
        await as_staff.delete(f"/products/{first.id}")
        await assert_stock_equals_movements(session)

        movements = (await session.exec(select(StockMovement).order_by(col(StockMovement.id)))).all()
        assert [
            (each.product_id, each.delta, each.reason.value, each.order_id, each.user_id) for each in movements
        ] == [
            (first.id, 10, "initial", None, staff.id),
            (second.id, 20, "initial", None, staff.id),
            (first.id, 5, "adjustment", None, staff.id),
            (first.id, -2, "order", order["id"], customer.id),
            (second.id, -3, "order", order["id"], customer.id),
            (first.id, 2, "cancellation", order["id"], staff.id),
            (second.id, 3, "cancellation", order["id"], staff.id),
        ]
        assert (await stock_of(session, first), await stock_of(session, second)) == (15, 20)

    async def test_stock_equals_movements_after_simultaneous_changes_of_every_kind(
        self, as_staff: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        products = [await a_product(session, stock_quantity=30) for _ in range(3)]

        async def order_and_cancel(turn: int) -> list[int]:
            lines = [(products[(turn + each) % 3], 1 + each) for each in range(3)]
            placed = await as_customer.post("/orders", json=order_body(*lines))
            if placed.status_code != 201 or turn % 2:
                return [placed.status_code]
            cancelled = await as_customer.post(f"/orders/{placed.json()['id']}/cancel")
            return [placed.status_code, cancelled.status_code]

        async def adjust(turn: int) -> list[int]:
            sent = {"delta": 2 if turn % 2 else -1, "reason": "Counted"}
            return [(await as_staff.post(f"/products/{products[turn % 3].id}/stock", json=sent)).status_code]

        answers = await asyncio.gather(*(each(turn) for turn in range(10) for each in (order_and_cancel, adjust)))

        assert {status for each in answers for status in each} <= {200, 201, 409}
        await assert_stock_equals_movements(session)
