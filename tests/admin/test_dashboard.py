"""The first page: revenue, orders, best sellers and what is nearly out of stock, in a fixed number of statements."""

from datetime import date, timedelta
from decimal import Decimal

import pytest
from sqlmodel.ext.asyncio.session import AsyncSession

from api.admin import dashboard
from api.admin.plot import HEIGHT, nice_top, plot
from api.database.sessions import Database
from api.models.base import utcnow
from api.models.order import OrderStatus
from tests.admin.support import Browser, words_of
from tests.factories import a_payment, a_product, a_refund, a_user, an_order
from tests.support import count_statements


class TestDashboard:
    async def test_an_empty_shop_has_a_dashboard(self, admin: Browser) -> None:
        words = words_of(await admin.open(""))
        for text in ("Today 0.00 EUR 0 orders", "Nothing was sold within 30 days.", "No orders yet."):
            assert text in words

    async def test_revenue_is_net_and_by_day_in_utc(self, admin: Browser, session: AsyncSession) -> None:
        now = utcnow()
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        order = await an_order(session, total="100.00", created_at=now)
        await a_refund(session, await a_payment(session, order), "30.00")
        await an_order(session, total="10.00", created_at=midnight)
        await an_order(session, total="5.00", created_at=midnight - timedelta(microseconds=1))
        await an_order(session, total="1000.00", status=OrderStatus.CANCELLED, created_at=now)
        await an_order(session, total="1.00", created_at=now - timedelta(days=dashboard.DAYS + 1))

        words = words_of(await admin.open(""))

        assert "Today 80.00 EUR 2 orders" in words
        assert "7 days 85.00 EUR 3 orders" in words
        assert "90 days 85.00 EUR 3 orders" in words
        assert f"{now.date() - timedelta(days=1)}: 5.00 EUR" in words
        assert f"{now.date()} 2 80.00" in words  # in the table
        assert "cancelled 1" in words

    async def test_best_sellers_low_stock_and_newest_orders_are_named(
        self, admin: Browser, session: AsyncSession
    ) -> None:
        sold = await a_product(session, "Turntable", price="10.00", stock_quantity=3)
        await a_product(session, "Lamp", stock_quantity=11)
        await a_product(session, "Hidden", stock_quantity=1, is_active=False)
        order = await an_order(session, await a_user(session, "anna"), (sold, 2))
        words = words_of(await admin.open(""))
        assert "Turntable 2 20.00" in words
        assert "Turntable 1" in words
        assert "Lamp" not in words
        assert "Hidden" not in words
        assert f"{order.order_number} anna pending 20.00" in words

    async def test_the_figures_are_of_so_many_orders_at_most(
        self, admin: Browser, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dashboard, "MAX_ORDERS", 2)
        monkeypatch.setattr(dashboard, "MAX_PRODUCTS", 1)
        for _ in range(3):
            await an_order(session, total="10.00")
        words = words_of(await admin.open(""))
        assert "Today 20.00 EUR 2 orders" in words
        assert "Of the newest 2 orders." in words
        assert "Of the newest 1 products." in words

    async def test_its_statements_are_as_many_for_many_orders(
        self, admin: Browser, session: AsyncSession, database: Database
    ) -> None:
        await admin.open("")
        with count_statements(database) as few:
            await admin.open("")
        for _ in range(5):
            await an_order(session)
        with count_statements(database) as many:
            await admin.open("")
        assert len(many) == len(few) == 8


class TestPlot:
    @pytest.mark.parametrize(
        ("greatest", "top"), [(0, 1), (1, 1), (2, 2), (3, 5), (9, 10), (11, 20), (Decimal("99.5"), 100), (501, 1_000)]
    )
    def test_the_top_is_a_round_number(self, greatest: int, top: int) -> None:
        assert nice_top(greatest) == top

    def test_bars_are_as_high_as_their_values(self) -> None:
        days = [date(2026, 5, 1), date(2026, 5, 2), date(2026, 5, 3)]
        made = plot("Orders", days, [10, 5, -1], "orders")
        assert [each.height for each in made.bars] == [HEIGHT, HEIGHT / 2, 0]
        assert [each.y + each.height for each in made.bars] == [HEIGHT] * 3
        assert made.bars[1].title == "2026-05-02: 5 orders"
        assert made.top == "10 orders"
