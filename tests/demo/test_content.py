"""What the demo invents is what a request may send, and no two of it are alike."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random

import pytest

from api.demo.arrivals import DAYS, arrivals
from api.demo.content import Leaf, articles, catalog
from api.demo.customers import address_of, customers
from api.demo.products import products_of
from api.models.category import CategoryCreate
from api.models.order import OrderCreate
from api.models.order_item import OrderItemCreate
from api.models.post import PostCreate
from api.models.product import ProductCreate
from api.models.tag import TagCreate
from api.models.user import UserCreate
from tests.support import PASSWORD

LEAVES = [leaf for department in catalog().departments for shelf in department.shelves for leaf in shelf.leaves]


class TestProducts:
    @pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.name)
    def test_products_are_valid_and_each_has_a_name_and_a_sku_of_its_own(self, leaf: Leaf) -> None:
        found = [ProductCreate(**each) for each in islice(products_of(leaf, catalog().series, 1, 0), 1_000)]
        assert len({each.name.casefold() for each in found}) == len({each.sku for each in found}) == 1_000
        lowest, highest = leaf.price
        dearest = highest * (1 + leaf.step * (len(next(iter(leaf.variant.values()))) - 1))
        assert all(0.95 * lowest < each.price < dearest + 10 for each in found)  # what ends in 5 or 9 was rounded

    def test_more_products_go_on_where_the_others_end(self) -> None:
        names = {each["name"] for each in islice(products_of(LEAVES[0], catalog().series, 1, 0), 100)}
        further = {each["name"] for each in islice(products_of(LEAVES[0], catalog().series, 1, 100), 100)}
        assert not names & further

    def test_no_two_categories_have_products_of_one_name(self) -> None:
        names = [each["name"] for leaf in LEAVES for each in islice(products_of(leaf, catalog().series, 1, 0), 200)]
        assert len(set(names)) == len(names)


class TestPeople:
    def test_customers_are_valid_and_each_has_a_username_of_their_own(self) -> None:
        found = [UserCreate(**each, password=PASSWORD) for each in islice(customers(0), 3_000)]
        assert len({each.username for each in found}) == len({each.email for each in found}) == 3_000
        assert any(not each.full_name.isascii() for each in found if each.full_name)

    def test_an_address_is_always_the_same_and_fits_an_order(self) -> None:
        items = [OrderItemCreate(product_id=1, quantity=1)]
        for name in (*(each["full_name"] for each in islice(customers(0), 400)), "John Doe", None):
            address = address_of(name)
            assert address == address_of(name)
            assert OrderCreate(items=items, shipping_address=address).shipping_address == address


class TestTexts:
    def test_posts_tags_and_categories_are_valid(self) -> None:
        for name in articles().tags:
            TagCreate(name=name)
        for each in articles().posts:
            assert set(each.tags) <= set(articles().tags)
            assert 0 < each.days < DAYS
            PostCreate(title=each.title, content=each.content, status=each.status)
        for department in catalog().departments:
            CategoryCreate(name=department.name, description=department.description)
            for shelf in department.shelves:
                CategoryCreate(name=shelf.name, description=shelf.description)
        for leaf in LEAVES:
            CategoryCreate(name=leaf.name, description=leaf.description)


class TestArrivals:
    @pytest.mark.parametrize("time", ["00:00", "00:30", "12:00", "23:59:59.999999"])
    def test_orders_come_within_90_days_one_after_the_other(self, time: str) -> None:
        until = datetime.fromisoformat(f"2026-03-28T{time}+00:00")
        found = list(arrivals(Random(1), 2_000, until))
        assert len(found) == 2_000
        assert found == sorted(found)
        assert found[0] >= until - timedelta(days=DAYS)
        assert found[-1] < until

    def test_more_come_on_sundays_and_more_from_month_to_month(self) -> None:
        until = datetime(2026, 3, 28, 12, tzinfo=UTC)
        found = list(arrivals(Random(1), 5_000, until))
        of_weekdays = [sum(each.weekday() == day for each in found) for day in range(7)]
        assert max(of_weekdays) == of_weekdays[6]
        month = timedelta(days=30)
        months = [
            sum(until - (back + 1) * month <= each < until - back * month for each in found) for back in (2, 1, 0)
        ]
        assert months == sorted(months)
