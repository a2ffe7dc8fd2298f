"""How values are stored: exactly, and alike in all databases."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, insert
from sqlalchemy.exc import IntegrityError, OperationalError, StatementError
from sqlmodel import col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.account import Account
from api.models.category import Category
from api.models.order import Order, OrderStatus
from api.models.order_item import OrderItem
from api.models.payment import Payment, PaymentMethod
from api.models.post import Post, PostStatus
from api.models.product import Product
from api.models.tag import Tag
from api.models.user import User
from tests.factories import a_category, a_post, a_product, a_tag, a_user, an_order
from tests.support import FreshSession, save

CheckViolation = (IntegrityError, OperationalError)
"""MySQL and MariaDB call a failed CHECK an operational error, 3819 and 4025."""


@pytest.fixture
async def reader(database: Database, session: AsyncSession) -> AsyncIterator[AsyncSession]:
    """A second session, which has no copy of the rows that `session` wrote."""
    async with FreshSession(database.engine) as reader:
        yield reader


@pytest.fixture
async def author(session: AsyncSession) -> User:
    return await a_user(session)


def product(number: int = 1, **fields: Any) -> Product:
    """A row that is not written yet: the write is what is tested."""
    defaults = {"name": f"P {number}", "slug": f"p-{number}", "sku": f"P-{number}", "price": Decimal("79.99")}
    return Product(**{**defaults, **fields})


class TestMoney:
    @pytest.mark.parametrize("price", ["0.01", "0.10", "79.99", "1234567.89", "90071992547409.93", "9999999999.99"])
    async def test_a_price_is_read_as_it_was_written(
        self, session: AsyncSession, reader: AsyncSession, price: str
    ) -> None:
        await save(session, product(price=Decimal(price)))

        stored = (await reader.exec(select(Product))).one()

        assert isinstance(stored.price, Decimal)
        assert str(stored.price) == price

    async def test_a_price_is_read_with_two_decimal_places(self, session: AsyncSession, reader: AsyncSession) -> None:
        await save(session, product(price=Decimal("5")))

        assert str((await reader.exec(select(col(Product.price)))).one()) == "5.00"

    async def test_a_sum_is_exact(self, session: AsyncSession) -> None:
        rows = [
            {"name": f"P {number}", "slug": f"p-{number}", "sku": f"P-{number}", "price": Decimal("0.10")}
            for number in range(3_000)
        ]
        await session.exec(insert(Product), params=rows)

        total = (await session.exec(select(func.sum(Product.price)))).one()

        assert isinstance(total, Decimal)
        assert str(total) == "300.00"

    async def test_a_comparison_is_exact(self, session: AsyncSession) -> None:
        await save(session, *(product(number, price=Decimal(number) / 100) for number in range(1, 101)))

        for number in (1, 10, 29, 57, 70, 100):
            price = Decimal(number) / 100
            same = select(Product.name).where(Product.price == price)
            assert (await session.exec(same)).all() == [f"P {number}"]
            below = select(func.count()).where(col(Product.price) < price)
            assert (await session.exec(below)).one() == number - 1
        between = select(func.count()).where(col(Product.price).between(Decimal("0.29"), Decimal("0.57")))
        assert (await session.exec(between)).one() == 29
        greatest = select(func.max(Product.price), func.min(Product.price))
        assert [str(each) for each in (await session.exec(greatest)).one()] == ["1.00", "0.01"]

    async def test_an_addition_by_an_update_is_exact(self, session: AsyncSession, reader: AsyncSession) -> None:
        await save(session, Account(name="Shop"))
        of_shop = col(Account.name) == "Shop"

        for _ in range(10):
            await session.exec(update(Account).where(of_shop).values(balance=col(Account.balance) + Decimal("0.10")))

        assert str((await reader.exec(select(col(Account.balance)).where(of_shop))).one()) == "1.00"

    async def test_the_balance_of_the_shop_may_be_below_zero(self, session: AsyncSession, reader: AsyncSession) -> None:
        await save(session, Account(name="Shop", balance=Decimal("-10.05")))

        stored = (await reader.exec(select(Account).where(Account.name == "Shop"))).one()

        assert str(stored.balance) == "-10.05"

    @pytest.mark.parametrize("price", ["0.00", "-0.01"])
    async def test_a_price_that_is_not_above_zero_is_refused(self, session: AsyncSession, price: str) -> None:
        with pytest.raises(CheckViolation):
            await save(session, product(price=Decimal(price)))

    async def test_a_balance_of_a_user_below_zero_is_refused(self, session: AsyncSession, author: User) -> None:
        with pytest.raises(CheckViolation):
            await save(session, Account(name="Credit", user_id=author.id, balance=Decimal("-0.01")))

    async def test_an_order_line_whose_total_is_not_quantity_times_price_is_refused(
        self, session: AsyncSession, author: User
    ) -> None:
        order, item = Order(user_id=author.id, total_amount=Decimal("0.30")), product(price=Decimal("0.10"))
        await save(session, order, item)
        line: dict[str, Any] = {
            "order_id": order.id,
            "product_id": item.id,
            "product_name": "P",
            "sku": "P",
            "quantity": 3,
            "unit_price": Decimal("0.10"),
        }

        with pytest.raises(CheckViolation):
            await save(session, OrderItem(**line, total_price=Decimal("0.31")))
        await session.rollback()
        await save(session, OrderItem(**line, total_price=Decimal("0.30")))

    async def test_an_order_that_is_paid_more_than_its_total_is_refused(
        self, session: AsyncSession, author: User
    ) -> None:
        with pytest.raises(CheckViolation):
            await save(session, Order(user_id=author.id, total_amount=Decimal("1.00"), paid_amount=Decimal("1.01")))

    async def test_a_payment_that_is_refunded_more_than_its_amount_is_refused(
        self, session: AsyncSession, author: User
    ) -> None:
        order = await an_order(session, author, total="1.00")
        payment = Payment(
            order_id=order.id, method=PaymentMethod.CARD, amount=Decimal("1.00"), refunded_amount=Decimal("1.01")
        )

        with pytest.raises(CheckViolation):
            await save(session, payment)

    async def test_a_price_with_three_decimal_places_is_refused_and_not_rounded(self, session: AsyncSession) -> None:
        with pytest.raises(StatementError, match="more than two decimal places"):
            await save(session, product(price=Decimal("0.001")))


class TestStock:
    @pytest.mark.parametrize("stock", [-1, 1_000_000_001])
    async def test_a_stock_out_of_range_is_refused(self, session: AsyncSession, stock: int) -> None:
        with pytest.raises(CheckViolation):
            await save(session, product(stock_quantity=stock))


class TestTime:
    @pytest.mark.parametrize(
        "moment",
        [
            datetime(2026, 5, 12, 9, 30, 15, 123456, tzinfo=UTC),
            datetime(2026, 5, 12, 23, 59, 59, 999999, tzinfo=UTC),
            datetime(2026, 3, 29, 1, 30, tzinfo=UTC),  # the hour that does not exist in Europe
            datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=UTC),
            datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        ],
        ids=str,
    )
    async def test_a_time_keeps_its_microseconds(
        self, session: AsyncSession, reader: AsyncSession, moment: datetime
    ) -> None:
        await save(session, product(created_at=moment))

        stored = (await reader.exec(select(col(Product.created_at)))).one()

        assert stored == moment
        assert stored.utcoffset() == timedelta(0)

    async def test_a_time_of_another_zone_is_read_in_utc(self, session: AsyncSession, reader: AsyncSession) -> None:
        moment = datetime(2026, 5, 12, 1, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))
        await save(session, product(created_at=moment))

        stored = (await reader.exec(select(col(Product.created_at)))).one()

        assert stored.isoformat() == "2026-05-11T20:00:00+00:00"
        assert (await reader.exec(select(Product.name).where(Product.created_at == moment))).one() == "P 1"

    async def test_a_time_without_a_zone_is_refused(self, session: AsyncSession) -> None:
        with pytest.raises(StatementError, match=r"(?i)naive|timezone"):
            await save(session, product(created_at=datetime(2026, 5, 12)))

    async def test_times_are_ordered_to_the_microsecond(self, session: AsyncSession) -> None:
        noon = datetime(2026, 5, 12, 12, tzinfo=UTC)
        moments = [noon + timedelta(microseconds=each) for each in (0, 1, 10, 999, 1_000, 999_999, 1_000_000)]
        await save(session, *(product(number, created_at=each) for number, each in enumerate(reversed(moments))))

        stored = (await session.exec(select(col(Product.created_at)).order_by(col(Product.created_at)))).all()
        later = (await session.exec(select(func.count()).where(col(Product.created_at) > noon))).one()

        assert list(stored) == moments
        assert later == 6


class TestText:
    async def test_texts_are_sorted_by_code_point(self, session: AsyncSession) -> None:
        await session.exec(delete(Category))
        names = [
            "a",
            "B",
            "é",
            "Z",
            "e",
            "É",
            "z",
            "A",
            "_",
            "1",
            "10",
            "2",
            "ß",
            "ss",
            "日本",
            "🎧",
            "a b",
            "ab",
            "a-b",
        ]
        for name in names:
            await a_category(session, name)

        stored = (await session.exec(select(Category.name).order_by(col(Category.name)))).all()

        assert list(stored) == sorted(names)

    @pytest.mark.parametrize("names", [("a", "A"), ("e", "é"), ("ß", "ss"), ("é", "e\u0301"), ("ﬀ", "ff")], ids=ascii)
    async def test_texts_are_equal_only_when_their_code_points_are_equal(
        self, session: AsyncSession, names: tuple[str, str]
    ) -> None:
        for name in names:
            await a_tag(session, name)

        for name in names:
            assert (await session.exec(select(Tag.name).where(Tag.name == name))).all() == [name]

    async def test_the_longest_text_is_stored_whole(
        self, session: AsyncSession, reader: AsyncSession, author: User
    ) -> None:
        longest = "🎧" * 50_000
        await a_post(session, author, "🎧" * 200, content=longest)

        stored = (await reader.exec(select(Post))).one()

        assert stored.content == longest
        assert stored.title == "🎧" * 200

    async def test_quotes_backslashes_and_line_ends_are_stored_unchanged(
        self, session: AsyncSession, reader: AsyncSession, author: User
    ) -> None:
        text = "'\"`\\ %s :name ? \\0 \r\n\t\u2028 \x01\x7f"
        await a_post(session, author, content=text)

        assert (await reader.exec(select(Post.content))).one() == text


class TestInteger:
    async def test_an_id_has_64_bits(self, session: AsyncSession, reader: AsyncSession) -> None:
        for tag_id in (2**62, 2**62 + 1):
            await a_tag(session, id=tag_id)

        assert list((await reader.exec(select(Tag.id).order_by(col(Tag.id)))).all()) == [2**62, 2**62 + 1]
        await session.exec(delete(Tag))

    async def test_the_id_of_a_deleted_row_is_not_used_again(self, session: AsyncSession) -> None:
        first = await a_product(session)
        await session.exec(delete(Product))

        second = await a_product(session)

        assert second.id > first.id

    async def test_a_counter_has_64_bits(self, session: AsyncSession, reader: AsyncSession, author: User) -> None:
        await a_post(session, author, view_count=2**62)

        assert (await reader.exec(select(Post.view_count))).one() == 2**62


class TestEnum:
    async def test_an_enum_is_stored_as_its_value(self, session: AsyncSession, author: User) -> None:
        await an_order(session, author, status=OrderStatus.SHIPPED)

        raw = (await session.exec(select(func.upper(Order.status)))).one()
        stored = (await session.exec(select(Order.status))).one()

        assert raw == "SHIPPED"
        assert stored is OrderStatus.SHIPPED

    async def test_an_unknown_value_is_refused_before_it_is_sent(self, session: AsyncSession) -> None:
        with pytest.raises(StatementError, match="lost"):
            await session.exec(select(Order).where(col(Order.status) == "lost"))

    @pytest.mark.parametrize("value", ["lost", "", "PENDING"], ids=repr)
    async def test_an_unknown_value_is_refused_by_the_database(
        self, session: AsyncSession, author: User, value: str
    ) -> None:
        await an_order(session, author)
        connection = await session.connection()

        with pytest.raises(CheckViolation):
            await connection.exec_driver_sql(f"UPDATE orders SET status = '{value}'")

    async def test_enums_are_compared_by_value(self, session: AsyncSession, author: User) -> None:
        await a_post(session, author, slug="x")

        found = select(Post.slug).where(col(Post.status).in_([PostStatus.PUBLISHED, PostStatus.ARCHIVED]))
        assert (await session.exec(found)).all() == ["x"]


class TestJson:
    @pytest.mark.parametrize(
        "attributes",
        [
            {},
            {"colour": "é🎧", "nested": {"a": [1, 2.5, None, True, "x"]}, "": ""},
            {"big": 2**62, "small": -(2**62), "float": 0.1, "tiny": 1e-300},
            {"quote": "'\"\\", "unicode": "\u2028\x01"},
        ],
        ids=["empty", "nested", "numbers", "special characters"],
    )
    async def test_attributes_are_read_as_they_were_written(
        self, session: AsyncSession, reader: AsyncSession, attributes: dict[str, Any]
    ) -> None:
        await save(session, product(attributes=attributes))

        assert (await reader.exec(select(Product.attributes))).one() == attributes
