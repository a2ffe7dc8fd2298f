"""What was refunded is no revenue: in the summary, by category, by customer, and in the order itself."""

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.money import MAX_AMOUNT
from api.models.order import OrderStatus
from api.models.payment import Payment
from api.models.user import User
from tests.books import rows_of
from tests.factories import a_category, a_payment, a_product, a_refund, an_order
from tests.support import count_statements


async def read_stats(as_staff: AsyncClient) -> Any:
    response = await as_staff.get("/orders/stats/summary")
    assert response.status_code == 200, response.text
    return response.json()


class TestSummary:
    async def test_an_order_that_was_refunded_in_full_is_no_revenue(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        order = await an_order(session, customer, total="100.00", paid_amount="100.00", status=OrderStatus.DELIVERED)
        (payment,) = await rows_of(session, Payment)

        await as_staff.post(f"/payments/{payment.id}/refunds", json={"amount": "100.00", "reason": "Broken"})

        stats = await read_stats(as_staff)
        figures = ("total_orders", "gross_revenue", "refunded_amount", "total_revenue", "average_order_value")
        assert [stats[each] for each in figures] == [1, "100.00", "100.00", "0.00", "0.00"]
        assert stats["by_status"] == [
            {"status": "delivered", "orders": 1, "amount": "100.00", "refunded_amount": "100.00"}
        ]
        (category,) = stats["by_category"]
        assert [category[each] for each in ("gross_revenue", "refunded_amount", "revenue")] == [
            "100.00",
            "100.00",
            "0.00",
        ]
        assert (await as_staff.get("/users/stats/top-spenders")).json() == [
            {"user": {"id": customer.id, "username": "customer"}, "orders": 1, "spent": "0.00"}
        ]
        assert (await as_staff.get(f"/orders/{order.id}")).json()["refunded_amount"] == "100.00"

    async def test_a_part_that_was_refunded_is_taken_off(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        refunded = await an_order(session, customer, total="100.00")
        await a_refund(session, await a_payment(session, refunded), "30.00")
        await an_order(session, customer, total="50.00")

        stats = await read_stats(as_staff)

        figures = ("gross_revenue", "refunded_amount", "total_revenue", "average_order_value")
        assert [stats[each] for each in figures] == ["150.00", "30.00", "120.00", "60.00"]

    async def test_refunds_of_cancelled_orders_are_taken_off_nothing(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        """The orders themselves do not count either."""
        await an_order(session, customer, total="80.00", paid_amount="80.00", status=OrderStatus.CANCELLED)
        await an_order(session, customer, total="20.00")

        stats = await read_stats(as_staff)

        figures = ("gross_revenue", "refunded_amount", "total_revenue")
        assert [stats[each] for each in figures] == ["20.00", "0.00", "20.00"]
        assert stats["by_status"][0] == {
            "status": "cancelled",
            "orders": 1,
            "amount": "80.00",
            "refunded_amount": "80.00",
        }

    async def test_the_customer_who_kept_the_most_comes_first(
        self, as_staff: AsyncClient, customer: User, other_customer: User, session: AsyncSession
    ) -> None:
        more = await an_order(session, customer, total="100.00")
        await a_refund(session, await a_payment(session, more), "60.00")
        await an_order(session, other_customer, total="50.00")

        spenders = (await as_staff.get("/users/stats/top-spenders")).json()

        assert [(each["user"]["id"], each["spent"]) for each in spenders] == [
            (other_customer.id, "50.00"),
            (customer.id, "40.00"),
        ]


class TestCategories:
    async def test_a_refund_counts_for_each_line_in_proportion_to_the_cent(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        products = [await a_product(session, category=await a_category(session, n), price="10.00") for n in "ABC"]
        order = await an_order(session, customer, *((each, 1) for each in products))
        await a_refund(session, await a_payment(session, order), "10.00")

        by_category = (await read_stats(as_staff))["by_category"]

        assert [each["refunded_amount"] for each in by_category] == ["3.33", "3.33", "3.34"]
        assert [each["revenue"] for each in by_category] == ["6.67", "6.67", "6.66"]

    @pytest.mark.parametrize(
        "refunded", ["0.01", "0.07", "12345.67", "5000000000.01", "9999999999.98", "9999999999.99"]
    )
    async def test_the_shares_of_any_amount_are_exact_and_add_up(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession, refunded: str
    ) -> None:
        """The product of two amounts has up to 80 bits, which no database has in its whole numbers."""
        prices = [Decimal("3333333333.33"), Decimal("6666666666.55"), Decimal("0.11")]
        assert sum(prices) == MAX_AMOUNT
        products = [
            await a_product(session, category=await a_category(session, name), price=price)
            for name, price in zip("ABC", prices, strict=True)
        ]
        order = await an_order(session, customer, *((each, 1) for each in products))
        await a_refund(session, await a_payment(session, order), refunded)

        stats = await read_stats(as_staff)

        cents, total = int(Decimal(refunded) * 100), int(MAX_AMOUNT * 100)
        up_to = [int(sum(prices[:end]) * 100) * cents // total for end in range(4)]
        expected = [Decimal(after - before) / 100 for before, after in pairwise(up_to)]
        assert [Decimal(each["refunded_amount"]) for each in stats["by_category"]] == expected
        assert sum(expected) == Decimal(stats["refunded_amount"]) == Decimal(refunded)

    async def test_categories_add_up_to_the_summary(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        categories = [None, *[await a_category(session) for _ in range(2)]]
        products = [await a_product(session, category=categories[n % 3], price=f"{n}.{n:02}") for n in range(1, 8)]
        for number, status in enumerate(OrderStatus):
            lines = [(product, 1 + (number * product.id) % 5) for product in products]
            order = await an_order(session, customer, *lines)
            payment = await a_payment(session, order)
            if status is not OrderStatus.CANCELLED:
                await a_refund(session, payment, f"{number}.{number}7")

        stats = await read_stats(as_staff)

        for name, of_all in (("gross_revenue",) * 2, ("refunded_amount",) * 2, ("revenue", "total_revenue")):
            assert sum(Decimal(each[name]) for each in stats["by_category"]) == Decimal(stats[of_all])
        assert Decimal(stats["refunded_amount"]) > 0


class TestOrder:
    async def test_an_order_says_what_went_back(
        self, as_staff: AsyncClient, as_customer: AsyncClient, customer: User, session: AsyncSession, database: Database
    ) -> None:
        order = await an_order(session, customer, total="100.00", paid_amount="100.00", status=OrderStatus.CONFIRMED)
        (payment,) = await rows_of(session, Payment)
        path = f"/payments/{payment.id}/refunds"
        with count_statements(database) as before:
            assert (await as_customer.get(f"/orders/{order.id}")).json()["refunded_amount"] == "0.00"

        for amount in ("12.34", "0.66"):
            assert (await as_staff.post(path, json={"amount": amount, "reason": "x"})).status_code == 201

        with count_statements(database) as after:
            read = (await as_customer.get(f"/orders/{order.id}")).json()
        assert (read["paid_amount"], read["refunded_amount"]) == ("100.00", "13.00")
        assert len(after) == len(before)
        (listed,) = (await as_customer.get("/orders")).json()["items"]
        assert listed["refunded_amount"] == "13.00"
        details = (await as_customer.get(f"/orders/{order.id}/details")).json()
        assert details["refunded_amount"] == "13.00"

    async def test_a_refund_of_more_than_is_left_changes_nothing_of_the_order(
        self, as_staff: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        order = await an_order(session, customer, total="100.00")
        first = await a_payment(session, order, "40.00")
        await a_payment(session, order, "60.00")

        refused = await as_staff.post(f"/payments/{first.id}/refunds", json={"amount": "40.01", "reason": "x"})

        assert refused.status_code == 409
        assert (await as_staff.get(f"/orders/{order.id}")).json()["refunded_amount"] == "0.00"

    async def test_a_cancelled_order_says_that_all_money_went_back(
        self, as_customer: AsyncClient, customer: User, session: AsyncSession
    ) -> None:
        order = await an_order(session, customer, total="100.00")
        await a_refund(session, await a_payment(session, order, "60.00"), "5.00")

        await as_customer.post(f"/orders/{order.id}/cancel")

        read = (await as_customer.get(f"/orders/{order.id}")).json()
        assert (read["status"], read["paid_amount"], read["refunded_amount"]) == ("cancelled", "60.00", "60.00")
