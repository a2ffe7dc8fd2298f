"""POST /orders, many times at once: the stock is never oversold, and no order is lost or placed twice."""

import asyncio
import random
import re
from decimal import Decimal

from httpx import AsyncClient, Response
from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.commands.verify import verify
from api.database.sessions import Database
from api.models.order import Order
from api.models.order_item import OrderItem
from tests.books import assert_stock_equals_movements, movements_of, stock_of
from tests.factories import a_product, order_body
from tests.routes.orders.support import place_order
from tests.timeouts import long_timeouts


def stock_in_refusal(response: Response) -> int:
    """How many units were in stock, as the refusal of an order says."""
    stock = re.search(r"is (\d+), less than", response.json()["detail"])
    assert stock is not None, response.text
    return int(stock[1])


class TestSimultaneousOrders:
    async def test_simultaneous_orders_sell_exactly_the_stock(
        self,
        as_customer: AsyncClient,
        as_other_customer: AsyncClient,
        database: Database,
        session: AsyncSession,
    ) -> None:
        product = await a_product(session, stock_quantity=50)
        wanted = [1 + number % 3 for number in range(200)]

        with long_timeouts(database):
            responses = await asyncio.gather(
                *(
                    client.post("/orders", json=order_body((product, quantity)))
                    for quantity, client in zip(wanted, [as_customer, as_other_customer] * 100, strict=True)
                )
            )

        assert [response.text for response in responses if response.status_code not in {201, 409}] == []
        # An order of one unit succeeds while a unit is left, and there are more such orders than units.
        sold = (await session.exec(select(func.sum(OrderItem.quantity)))).one()
        assert sold == 50, f"{sold} units were sold of 50 in stock"
        assert await stock_of(session, product) == 0
        assert sum(delta for delta, _, _ in await movements_of(session, product)) == 0
        statuses = [response.status_code for response in responses]
        assert sum(quantity for quantity, status in zip(wanted, statuses, strict=True) if status == 201) == 50
        assert len((await session.exec(select(Order))).all()) == statuses.count(201)
        for quantity, response in zip(wanted, responses, strict=True):
            if response.status_code == 409:
                stock = stock_in_refusal(response)
                assert stock < quantity, f"an order of {quantity} units was refused with {stock} in stock"
        assert await verify(database)

    async def test_simultaneous_orders_of_the_same_products_all_succeed(
        self,
        as_customer: AsyncClient,
        database: Database,
        session: AsyncSession,
    ) -> None:
        products = [await a_product(session, stock_quantity=1_000) for _ in range(5)]
        pick = random.Random(5).sample
        wanted = [pick(products, 4) for _ in range(120)]

        with long_timeouts(database):
            responses = await asyncio.gather(
                *(as_customer.post("/orders", json=order_body(*((product, 1) for product in four))) for four in wanted)
            )

        assert [response.text for response in responses if response.status_code != 201] == []
        for product in products:
            taken = sum(product in four for four in wanted)
            assert await stock_of(session, product) == 1_000 - taken
            assert [delta for delta, _, _ in await movements_of(session, product)] == [1_000] + [-1] * taken
        ordered = {order.json()["id"]: [line["product_id"] for line in order.json()["items"]] for order in responses}
        stored: dict[int, list[int]] = {}
        for line in (await session.exec(select(OrderItem).order_by(col(OrderItem.id)))).all():
            stored.setdefault(line.order_id, []).append(line.product_id)
        assert stored == ordered
        assert sorted(ordered.values()) == sorted(sorted(product.id for product in four) for four in wanted)
        assert await verify(database)

    async def test_orders_are_placed_while_other_orders_are_cancelled(
        self, as_customer: AsyncClient, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        products = [await a_product(session, stock_quantity=40) for _ in range(4)]
        pick = random.Random(6).sample
        placed = [await place_order(as_customer, *((product, 1) for product in products)) for _ in range(10)]

        responses = await asyncio.gather(
            *(client.post(f"/orders/{order['id']}/cancel") for order in placed for client in (as_customer, as_staff)),
            *(
                as_customer.post("/orders", json=order_body(*((product, 1) for product in pick(products, 4))))
                for _ in range(10)
            ),
        )

        statuses = [response.status_code for response in responses]
        assert sorted(statuses[:20]) == [200] * 10 + [409] * 10
        assert statuses[20:] == [201] * 10
        assert [await stock_of(session, product) for product in products] == [30] * 4
        await assert_stock_equals_movements(session)

    async def test_the_price_of_a_line_is_one_that_the_product_had(
        self, as_customer: AsyncClient, as_staff: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, stock_quantity=100, price="1.00")

        responses = await asyncio.gather(
            *(as_customer.post("/orders", json=order_body((product, 3))) for _ in range(10)),
            *(as_staff.patch(f"/products/{product.id}", json={"price": f"{price}.00"}) for price in range(2, 6)),
        )

        assert {response.status_code for response in responses} == {200, 201}
        for response in responses[:10]:
            order = response.json()
            assert Decimal(order["items"][0]["unit_price"]) in {Decimal(price) for price in range(1, 6)}
            assert Decimal(order["total_amount"]) == 3 * Decimal(order["items"][0]["unit_price"])
