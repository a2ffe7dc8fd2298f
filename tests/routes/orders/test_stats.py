"""GET /orders/stats/summary: the number and the revenue of all orders, by status and by category."""

from decimal import Decimal
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.category import Category
from api.models.order import OrderStatus
from api.models.user import User
from tests.factories import a_category, a_product, an_order
from tests.routes.orders.support import place_order
from tests.support import assert_refused, count_statements


async def read_stats(as_staff: AsyncClient) -> Any:
    response = await as_staff.get("/orders/stats/summary")
    assert response.status_code == 200, response.text
    return response.json()


def status_count(status: str, orders: int, amount: str) -> dict[str, Any]:
    """The orders in one status, of which nothing was refunded."""
    return {"status": status, "orders": orders, "amount": amount, "refunded_amount": "0.00"}


def category_sales(category: Category | None, units: int, revenue: str) -> dict[str, Any]:
    """What one category sold, and nothing of it was refunded."""
    its = (
        {"category_id": category.id, "category": category.name} if category else {"category_id": None, "category": None}
    )
    return {**its, "units": units, "gross_revenue": revenue, "refunded_amount": "0.00", "revenue": revenue}


class TestReadOrderStats:
    async def test_the_statistics_of_an_empty_shop_are_zero(self, as_staff: AsyncClient) -> None:
        assert await read_stats(as_staff) == {
            "total_orders": 0,
            "gross_revenue": "0.00",
            "refunded_amount": "0.00",
            "total_revenue": "0.00",
            "average_order_value": "0.00",
            "by_status": [],
            "by_category": [],
        }

    async def test_the_statistics_hold_totals_statuses_and_categories(
        self, as_staff: AsyncClient, customer: User, other_customer: User, session: AsyncSession
    ) -> None:
        video, audio = await a_category(session, "Video"), await a_category(session, "Audio")
        camera = await a_product(session, category=video, price="100.00")
        cable = await a_product(session, category=video, price="0.05")
        radio = await a_product(session, category=audio, price="19.99")
        book = await a_product(session, price="7.00")
        await an_order(session, customer, (camera, 1), (radio, 2), status=OrderStatus.DELIVERED)
        await an_order(session, other_customer, (cable, 3), (book, 1), status=OrderStatus.PENDING)
        await an_order(session, customer, (book, 2), status=OrderStatus.PENDING)
        await an_order(session, customer, (camera, 10), (book, 10), status=OrderStatus.CANCELLED)

        assert await read_stats(as_staff) == {
            "total_orders": 4,
            "gross_revenue": "161.13",
            "refunded_amount": "0.00",
            "total_revenue": "161.13",
            "average_order_value": "53.71",
            "by_status": [
                status_count("cancelled", 1, "1070.00"),
                status_count("delivered", 1, "139.98"),
                status_count("pending", 2, "21.15"),
            ],
            "by_category": [
                category_sales(audio, 2, "39.98"),
                category_sales(video, 4, "100.15"),
                category_sales(None, 3, "21.00"),
            ],
        }

    async def test_the_revenue_of_all_categories_adds_up_to_the_total_revenue(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        categories = [None, *[await a_category(session) for _ in range(3)]]
        products = [
            await a_product(session, category=categories[number % 4], price=f"{number}.{number:02}")
            for number in range(1, 9)
        ]
        for number, status in enumerate(list(OrderStatus) * 2):
            quantities = [(product, 1 + (number * product.id) % 7) for product in products]
            await an_order(session, customer, *quantities, status=status)

        stats = await read_stats(as_staff)

        by_category = [Decimal(each["revenue"]) for each in stats["by_category"]]
        by_status = [Decimal(each["amount"]) for each in stats["by_status"] if each["status"] != "cancelled"]
        assert len(by_category) == len(by_status) == 4
        assert sum(by_category) == sum(by_status) == Decimal(stats["total_revenue"])

    async def test_cancelled_orders_are_not_revenue(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        product = await a_product(session, price="10.00")
        for _ in range(2):
            await an_order(session, customer, (product, 1), status=OrderStatus.CANCELLED)

        assert await read_stats(as_staff) == {
            "total_orders": 2,
            "gross_revenue": "0.00",
            "refunded_amount": "0.00",
            "total_revenue": "0.00",
            "average_order_value": "0.00",
            "by_status": [status_count("cancelled", 2, "20.00")],
            "by_category": [],
        }

    async def test_an_order_is_revenue_until_it_is_cancelled(
        self, as_staff: AsyncClient, as_customer: AsyncClient, session: AsyncSession
    ) -> None:
        product = await a_product(session, price="10.00", stock_quantity=3)
        order_id = (await place_order(as_customer, (product, 3)))["id"]
        placed = await read_stats(as_staff)
        await as_customer.post(f"/orders/{order_id}/cancel")
        cancelled = await read_stats(as_staff)

        assert (placed["total_orders"], placed["total_revenue"]) == (1, "30.00")
        assert (cancelled["total_orders"], cancelled["total_revenue"]) == (1, "0.00")

    async def test_a_new_price_does_not_change_the_revenue_of_past_orders(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        product = await a_product(session, price="10.00")
        await an_order(session, customer, (product, 3))

        await as_staff.patch(f"/products/{product.id}", json={"price": "99.00", "is_active": False})

        stats = await read_stats(as_staff)
        assert stats["total_revenue"] == "30.00"
        assert stats["by_category"] == [category_sales(None, 3, "30.00")]

    async def test_the_revenue_of_a_product_follows_it_to_another_category(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        old, new = await a_category(session), await a_category(session)
        product = await a_product(session, category=old, price="10.00")
        await an_order(session, customer, (product, 3))

        await as_staff.patch(f"/products/{product.id}", json={"category_id": new.id})
        (moved,) = (await read_stats(as_staff))["by_category"]
        await as_staff.delete(f"/categories/{new.id}")
        (uncategorised,) = (await read_stats(as_staff))["by_category"]

        assert (moved["category_id"], moved["revenue"]) == (new.id, "30.00")
        assert (uncategorised["category_id"], uncategorised["revenue"]) == (None, "30.00")

    @pytest.mark.parametrize(
        ("prices", "mean"), [(["0.01", "0.02"], "0.02"), (["0.01", "0.01", "0.02"], "0.01"), (["1.00", "2.01"], "1.51")]
    )
    async def test_the_average_is_rounded_half_up_to_the_cent(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession, prices: list[str], mean: str
    ) -> None:
        for price in prices:
            await an_order(session, customer, (await a_product(session, price=price), 1))

        assert (await read_stats(as_staff))["average_order_value"] == mean

    async def test_the_highest_amounts_are_summed_exactly(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        product = await a_product(session, price="9999999999.99")
        for _ in range(11):
            await an_order(session, customer, (product, 1))

        stats = await read_stats(as_staff)

        assert stats["total_revenue"] == "109999999999.89"
        assert stats["by_category"][0]["revenue"] == "109999999999.89"
        assert stats["average_order_value"] == "9999999999.99"

    async def test_only_staff_read_the_statistics(self, client: AsyncClient, as_customer: AsyncClient) -> None:
        assert_refused(await client.get("/orders/stats/summary"), 401)
        assert_refused(await as_customer.get("/orders/stats/summary"), 403)

    @pytest.mark.parametrize("size", [1, 20])
    async def test_the_statistics_take_three_statements_whatever_their_size(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession, database: Database, size: int
    ) -> None:
        for _ in range(size):
            product = await a_product(session, category=await a_category(session), price="1.00")
            await an_order(session, customer, (product, 1))

        with count_statements(database) as statements:
            assert len((await read_stats(as_staff))["by_category"]) == size
        assert len(statements) == 3  # for the token, the statuses and the categories
