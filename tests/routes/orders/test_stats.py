"""/orders/stats/summary: what all orders come to, by status and by category."""

from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.category import Category
from api.models.order import Order, OrderStatus
from api.models.order_item import OrderItem
from api.models.product import Product
from api.models.user import User
from tests.support import assert_refused, count_statements, save

numbers = count(1)


async def a_category(session: AsyncSession, name: str = "") -> Category:
    number = next(numbers)
    category = Category(name=name or f"Category {number}", slug=f"category-{number}")
    await save(session, category)
    return category


async def a_product(session: AsyncSession, price: str, category: Category | None = None) -> Product:
    number = next(numbers)
    product = Product(
        name=f"Product {number}",
        slug=f"product-{number}",
        sku=f"P-{number}",
        price=Decimal(price),
        stock_quantity=1_000_000,
        category_id=category.id if category else None,
    )
    await save(session, product)
    return product


async def an_order(
    session: AsyncSession, user: User, *quantities: tuple[Product, int], status: OrderStatus = OrderStatus.PENDING
) -> None:
    total = sum((product.price * quantity for product, quantity in quantities), start=Decimal(0))
    order = Order(user_id=user.id, total_amount=total, status=status)
    await save(session, order)
    await save(
        session,
        *(
            OrderItem(
                order_id=order.id,
                product_id=product.id,
                product_name=product.name,
                sku=product.sku,
                quantity=quantity,
                unit_price=product.price,
                total_price=product.price * quantity,
            )
            for product, quantity in quantities
        ),
    )


async def summary(as_staff: AsyncClient) -> Any:
    response = await as_staff.get("/orders/stats/summary")
    assert response.status_code == 200
    return response.json()


class TestReadOrderStats:
    async def test_an_empty_shop_gives_zeros(self, as_staff: AsyncClient) -> None:
        assert await summary(as_staff) == {
            "total_orders": 0,
            "total_revenue": "0.00",
            "average_order_value": "0.00",
            "by_status": [],
            "by_category": [],
        }

    async def test_totals_statuses_and_categories(
        self, as_staff: AsyncClient, customer: User, other_customer: User, session: AsyncSession
    ) -> None:
        zoo, audio = await a_category(session, "Zoo Animals"), await a_category(session, "A Category")
        lion, tiger = await a_product(session, "100.00", zoo), await a_product(session, "0.05", zoo)
        radio, shoe = await a_product(session, "19.99", audio), await a_product(session, "7.00")
        await an_order(session, customer, (lion, 1), (radio, 2), status=OrderStatus.DELIVERED)
        await an_order(session, other_customer, (tiger, 3), (shoe, 1), status=OrderStatus.PENDING)
        await an_order(session, customer, (shoe, 2), status=OrderStatus.PENDING)
        await an_order(session, customer, (lion, 10), (shoe, 10), status=OrderStatus.CANCELLED)

        assert await summary(as_staff) == {
            "total_orders": 4,
            "total_revenue": "161.13",
            "average_order_value": "53.71",
            "by_status": [
                {"status": "cancelled", "orders": 1, "amount": "1070.00"},
                {"status": "delivered", "orders": 1, "amount": "139.98"},
                {"status": "pending", "orders": 2, "amount": "21.15"},
            ],
            "by_category": [
                {"category_id": audio.id, "category": "A Category", "units": 2, "revenue": "39.98"},
                {"category_id": zoo.id, "category": "Zoo Animals", "units": 4, "revenue": "100.15"},
                {"category_id": None, "category": None, "units": 3, "revenue": "21.00"},
            ],
        }

    async def test_categories_add_up_to_the_revenue(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        categories = [None, *[await a_category(session) for _ in range(3)]]
        products = [await a_product(session, f"{number}.{number:02}", categories[number % 4]) for number in range(1, 9)]
        for number, status in enumerate(list(OrderStatus) * 2):
            quantities = [(product, 1 + (number * product.id) % 7) for product in products]
            await an_order(session, customer, *quantities, status=status)

        stats = await summary(as_staff)

        by_category = [Decimal(each["revenue"]) for each in stats["by_category"]]
        by_status = [Decimal(each["amount"]) for each in stats["by_status"] if each["status"] != "cancelled"]
        assert len(by_category) == len(by_status) == 4
        assert sum(by_category) == sum(by_status) == Decimal(stats["total_revenue"])

    async def test_only_cancelled_orders_are_no_revenue(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        product = await a_product(session, "10.00")
        for _ in range(2):
            await an_order(session, customer, (product, 1), status=OrderStatus.CANCELLED)

        assert await summary(as_staff) == {
            "total_orders": 2,
            "total_revenue": "0.00",
            "average_order_value": "0.00",
            "by_status": [{"status": "cancelled", "orders": 2, "amount": "20.00"}],
            "by_category": [],
        }

    async def test_an_order_counts_from_when_it_is_placed_until_it_is_cancelled(
        self, as_staff: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, "10.00")
        sent = {"items": [{"product_id": product.id, "quantity": 3}]}

        order_id = (await as_customer.post("/orders", json=sent)).json()["id"]
        placed = await summary(as_staff)
        await as_customer.post(f"/orders/{order_id}/cancel")
        cancelled = await summary(as_staff)

        assert (placed["total_orders"], placed["total_revenue"]) == (1, "30.00")
        assert (cancelled["total_orders"], cancelled["total_revenue"]) == (1, "0.00")

    async def test_a_price_of_today_does_not_change_what_was_sold(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        product = await a_product(session, "10.00")
        await an_order(session, customer, (product, 3))

        await as_staff.patch(f"/products/{product.id}", json={"price": "99.00", "is_active": False})

        stats = await summary(as_staff)
        assert stats["total_revenue"] == "30.00"
        assert stats["by_category"] == [{"category_id": None, "category": None, "units": 3, "revenue": "30.00"}]

    async def test_sales_follow_their_product_to_another_category(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        old, new = await a_category(session), await a_category(session)
        product = await a_product(session, "10.00", old)
        await an_order(session, customer, (product, 3))

        await as_staff.patch(f"/products/{product.id}", json={"category_id": new.id})
        (moved,) = (await summary(as_staff))["by_category"]
        await as_staff.delete(f"/categories/{new.id}")
        (left,) = (await summary(as_staff))["by_category"]

        assert (moved["category_id"], moved["revenue"]) == (new.id, "30.00")
        assert (left["category_id"], left["revenue"]) == (None, "30.00")

    @pytest.mark.parametrize(
        ("prices", "mean"), [(["0.01", "0.02"], "0.02"), (["0.01", "0.01", "0.02"], "0.01"), (["1.00", "2.01"], "1.51")]
    )
    async def test_the_average_is_rounded_half_up_to_the_cent(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession, prices: list[str], mean: str
    ) -> None:
        for price in prices:
            await an_order(session, customer, (await a_product(session, price), 1))

        assert (await summary(as_staff))["average_order_value"] == mean

    async def test_the_highest_amounts_are_summed_exactly(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        product = await a_product(session, "9999999999.99")
        for _ in range(11):
            await an_order(session, customer, (product, 1))

        stats = await summary(as_staff)

        assert stats["total_revenue"] == "109999999999.89"
        assert stats["by_category"][0]["revenue"] == "109999999999.89"
        assert stats["average_order_value"] == "9999999999.99"

    async def test_nobody_but_staff_reads_it(self, client: AsyncClient, as_customer: AsyncClient) -> None:
        assert_refused(await client.get("/orders/stats/summary"), 401)
        assert_refused(await as_customer.get("/orders/stats/summary"), 403)

    @pytest.mark.parametrize("size", [1, 20])
    async def test_takes_three_statements_whatever_the_size(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession, database: Database, size: int
    ) -> None:
        for _ in range(size):
            await an_order(session, customer, (await a_product(session, "1.00", await a_category(session)), 1))

        with count_statements(database) as statements:
            assert len((await summary(as_staff))["by_category"]) == size
        assert len(statements) == 3  # the token, the statuses, the categories
