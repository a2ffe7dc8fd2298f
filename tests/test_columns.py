"""How values are stored: the same in all three databases, and exactly."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, insert
from sqlalchemy.exc import IntegrityError, OperationalError, StatementError
from sqlmodel import col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.account import Account
from api.models.category import Category
from api.models.order import Order, OrderStatus
from api.models.order_item import OrderItem
from api.models.payment import Payment, PaymentMethod
from api.models.post import Post, PostStatus
from api.models.product import Product
from api.models.tag import Tag
from api.models.user import User
from tests.support import FreshSession, save

CheckViolation = (IntegrityError, OperationalError)
"""MySQL and MariaDB call a failed CHECK an operational error, 3819 and 4025."""


@pytest.fixture
async def again(session: AsyncSession) -> AsyncIterator[AsyncSession]:
    """A session that has not seen what the other one wrote."""
    async with FreshSession(session.bind) as again:  # type: ignore[arg-type]
        yield again


@pytest.fixture
async def author(session: AsyncSession) -> User:
    user = User(username="author", email="author@example.com", hashed_password="")
    await save(session, user)
    return user


def a_product(number: int = 1, **fields: Any) -> Product:
    return Product(
        **{"name": f"P {number}", "slug": f"p-{number}", "sku": f"P-{number}", "price": Decimal("79.99"), **fields}
    )


class TestMoney:
    @pytest.mark.parametrize("price", ["0.01", "0.10", "79.99", "1234567.89", "90071992547409.93", "9999999999.99"])
    async def test_comes_back_as_it_was(self, session: AsyncSession, again: AsyncSession, price: str) -> None:
        await save(session, a_product(price=Decimal(price)))

        stored = (await again.exec(select(Product))).one()

        assert isinstance(stored.price, Decimal)
        assert str(stored.price) == price

    async def test_has_two_places_whatever_was_written(self, session: AsyncSession, again: AsyncSession) -> None:
        await save(session, a_product(price=Decimal("5")))

        assert str((await again.exec(select(col(Product.price)))).one()) == "5.00"

    async def test_is_exact_under_sum(self, session: AsyncSession) -> None:
        rows = [
            {"name": f"P {number}", "slug": f"p-{number}", "sku": f"P-{number}", "price": Decimal("0.10")}
            for number in range(3_000)
        ]
        await session.exec(insert(Product), params=rows)

        total = (await session.exec(select(func.sum(Product.price)))).one()

        assert isinstance(total, Decimal)
        assert str(total) == "300.00"

    async def test_is_exact_when_compared(self, session: AsyncSession) -> None:
        await save(session, *(a_product(number, price=Decimal(number) / 100) for number in range(1, 101)))

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

    async def test_is_exact_when_added_to_by_an_update(self, session: AsyncSession, again: AsyncSession) -> None:
        await save(session, Account(name="Ours"))
        ours = col(Account.name) == "Ours"

        for _ in range(10):
            await session.exec(update(Account).where(ours).values(balance=col(Account.balance) + Decimal("0.10")))

        assert str((await again.exec(select(col(Account.balance)).where(ours))).one()) == "1.00"

    async def test_may_be_below_zero_where_that_has_a_meaning(self, session: AsyncSession, again: AsyncSession) -> None:
        await save(session, Account(name="Ours", balance=Decimal("-10.05")))

        stored = (await again.exec(select(Account).where(Account.name == "Ours"))).one()

        assert str(stored.balance) == "-10.05"

    @pytest.mark.parametrize("price", ["0.00", "-0.01"])
    async def test_a_price_is_above_zero(self, session: AsyncSession, price: str) -> None:
        with pytest.raises(CheckViolation):
            await save(session, a_product(price=Decimal(price)))

    async def test_a_users_balance_is_never_below_zero(self, session: AsyncSession, author: User) -> None:
        with pytest.raises(CheckViolation):
            await save(session, Account(name="Theirs", user_id=author.id, balance=Decimal("-0.01")))

    async def test_a_line_is_its_quantity_times_its_price(self, session: AsyncSession, author: User) -> None:
        order, product = Order(user_id=author.id, total_amount=Decimal("0.30")), a_product(price=Decimal("0.10"))
        await save(session, order, product)
        line: dict[str, Any] = {
            "order_id": order.id,
            "product_id": product.id,
            "product_name": "P",
            "sku": "P",
            "quantity": 3,
            "unit_price": Decimal("0.10"),
        }

        with pytest.raises(CheckViolation):
            await save(session, OrderItem(**line, total_price=Decimal("0.31")))
        await session.rollback()
        await save(session, OrderItem(**line, total_price=Decimal("0.30")))

    async def test_an_order_is_never_paid_more_than_its_total(self, session: AsyncSession, author: User) -> None:
        with pytest.raises(CheckViolation):
            await save(session, Order(user_id=author.id, total_amount=Decimal("1.00"), paid_amount=Decimal("1.01")))

    async def test_a_payment_is_never_refunded_more_than_its_amount(self, session: AsyncSession, author: User) -> None:
        order = Order(user_id=author.id, total_amount=Decimal("1.00"))
        await save(session, order)
        payment = Payment(
            order_id=order.id, method=PaymentMethod.CARD, amount=Decimal("1.00"), refunded_amount=Decimal("1.01")
        )

        with pytest.raises(CheckViolation):
            await save(session, payment)

    async def test_more_than_two_places_are_refused_not_rounded(self, session: AsyncSession) -> None:
        with pytest.raises(StatementError, match="more than two decimal places"):
            await save(session, a_product(price=Decimal("0.001")))


class TestStock:
    @pytest.mark.parametrize("stock", [-1, 1_000_000_001])
    async def test_is_never_below_zero_nor_beyond_its_limit(self, session: AsyncSession, stock: int) -> None:
        with pytest.raises(CheckViolation):
            await save(session, a_product(stock_quantity=stock))


class TestTimes:
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
    async def test_keep_their_microseconds(self, session: AsyncSession, again: AsyncSession, moment: datetime) -> None:
        await save(session, a_product(created_at=moment))

        stored = (await again.exec(select(col(Product.created_at)))).one()

        assert stored == moment
        assert stored.utcoffset() == timedelta(0)

    async def test_of_another_zone_come_back_in_utc(self, session: AsyncSession, again: AsyncSession) -> None:
        there = datetime(2026, 5, 12, 1, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))
        await save(session, a_product(created_at=there))

        stored = (await again.exec(select(col(Product.created_at)))).one()

        assert stored.isoformat() == "2026-05-11T20:00:00+00:00"
        assert (await again.exec(select(Product.name).where(Product.created_at == there))).one() == "P 1"

    async def test_without_a_zone_are_refused(self, session: AsyncSession) -> None:
        with pytest.raises(StatementError, match=r"(?i)naive|timezone"):
            await save(session, a_product(created_at=datetime(2026, 5, 12)))

    async def test_are_ordered_to_the_microsecond(self, session: AsyncSession) -> None:
        noon = datetime(2026, 5, 12, 12, tzinfo=UTC)
        moments = [noon + timedelta(microseconds=each) for each in (0, 1, 10, 999, 1_000, 999_999, 1_000_000)]
        await save(session, *(a_product(number, created_at=each) for number, each in enumerate(reversed(moments))))

        stored = (await session.exec(select(col(Product.created_at)).order_by(col(Product.created_at)))).all()
        later = (await session.exec(select(func.count()).where(col(Product.created_at) > noon))).one()

        assert list(stored) == moments
        assert later == 6


class TestTexts:
    async def test_are_sorted_by_code_point(self, session: AsyncSession) -> None:
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
        await save(session, *(Category(name=name, slug=f"c-{number}") for number, name in enumerate(names)))

        stored = (await session.exec(select(Category.name).order_by(col(Category.name)))).all()

        assert list(stored) == sorted(names)

    @pytest.mark.parametrize("names", [("a", "A"), ("e", "é"), ("ß", "ss"), ("é", "e\u0301"), ("ﬀ", "ff")])
    async def test_are_equal_only_where_their_code_points_are(
        self, session: AsyncSession, names: tuple[str, str]
    ) -> None:
        await save(session, *(Tag(name=name, slug=f"t-{number}") for number, name in enumerate(names)))

        for name in names:
            assert (await session.exec(select(Tag.name).where(Tag.name == name))).all() == [name]

    async def test_of_any_length_are_stored_whole(
        self, session: AsyncSession, again: AsyncSession, author: User
    ) -> None:
        longest = "🎧" * 50_000
        await save(session, Post(title="🎧" * 200, slug="x", content=longest, author_id=author.id))

        stored = (await again.exec(select(Post))).one()

        assert stored.content == longest
        assert stored.title == "🎧" * 200

    async def test_keep_quotes_backslashes_and_line_ends(
        self, session: AsyncSession, again: AsyncSession, author: User
    ) -> None:
        text = "'\"`\\ %s :name ? \\0 \r\n\t\u2028 \x01\x7f"
        await save(session, Post(title="T", slug="x", content=text, author_id=author.id))

        assert (await again.exec(select(Post.content))).one() == text


class TestIds:
    async def test_have_64_bits(self, session: AsyncSession, again: AsyncSession) -> None:
        await save(session, Tag(id=2**62, name="Far", slug="far"), Tag(id=2**62 + 1, name="Next", slug="next"))

        assert list((await again.exec(select(Tag.id).order_by(col(Tag.id)))).all()) == [2**62, 2**62 + 1]
        await session.exec(delete(Tag))

    async def test_are_not_used_again(self, session: AsyncSession) -> None:
        first = Product(**a_product(1).model_dump(exclude={"id"}))
        await save(session, first)
        await session.exec(delete(Product))

        second = a_product(2)
        await save(session, second)

        assert second.id > first.id

    async def test_other_whole_numbers_have_64_bits_too(
        self, session: AsyncSession, again: AsyncSession, author: User
    ) -> None:
        await save(session, Post(title="T", slug="x", content="C", author_id=author.id, view_count=2**62))

        assert (await again.exec(select(Post.view_count))).one() == 2**62


class TestEnums:
    async def test_are_stored_as_their_values(self, session: AsyncSession, author: User) -> None:
        await save(session, Order(user_id=author.id, total_amount=Decimal("1.00"), status=OrderStatus.SHIPPED))

        raw = (await session.exec(select(func.upper(Order.status)))).one()
        stored = (await session.exec(select(Order.status))).one()

        assert raw == "SHIPPED"
        assert stored is OrderStatus.SHIPPED

    async def test_a_value_that_is_none_of_them_is_refused_here(self, session: AsyncSession) -> None:
        with pytest.raises(StatementError, match="lost"):
            await session.exec(select(Order).where(col(Order.status) == "lost"))

    @pytest.mark.parametrize("value", ["lost", "", "PENDING"])
    async def test_and_by_the_database(self, session: AsyncSession, author: User, value: str) -> None:
        await save(session, Order(user_id=author.id, total_amount=Decimal("1.00")))
        connection = await session.connection()

        with pytest.raises(CheckViolation):
            await connection.exec_driver_sql(f"UPDATE orders SET status = '{value}'")

    async def test_are_compared_by_value(self, session: AsyncSession, author: User) -> None:
        await save(session, Post(title="T", slug="x", content="C", author_id=author.id, status=PostStatus.PUBLISHED))

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
        ids=lambda each: ",".join(each),
    )
    async def test_comes_back_as_it_was(
        self, session: AsyncSession, again: AsyncSession, attributes: dict[str, Any]
    ) -> None:
        await save(session, a_product(attributes=attributes))

        assert (await again.exec(select(Product.attributes))).one() == attributes
