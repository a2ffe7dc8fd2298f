"""The rows that every server of the comparison serves: the same ids, texts and amounts each time."""

import hashlib
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

Row = dict[str, Any]

CATEGORIES = 50
CUSTOMERS = 100
ORDERS_PER_CUSTOMER = 60
LINES = 3
STOCK = 1_000_000
BALANCE = Decimal("1000000.00")
FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
VOCABULARY = (
    "wireless wired noise cancelling over ear studio travel compact portable digital classic premium light "
    "heavy duty cotton linen oak steel glass copper garden kitchen office desk lamp speaker cable charger "
    "keyboard monitor chair"
)
WORDS = VOCABULARY.split()


@dataclass(frozen=True)
class Rows:
    """Rows as keyword arguments of a class that has these names. Ids are those that the database will number."""

    categories: list[Row]
    users: list[Row]
    products: list[Row]
    orders: list[Row]

    def token(self, user_id: int) -> str:
        return f"shop_benchmark_{user_id}"


STAFF_ID = 1
"""The first user; customers follow."""

SHOP_ACCOUNTS = 2
"""The shop has two accounts of its own; those of the users follow."""

FIRST_CATEGORY = 5
"""A new shop has four categories."""


def make_rows(products: int, to_change: int) -> Rows:
    """`to_change` orders stand after the others: pending, of one product each, for paths that change an order."""
    chance = random.Random(10)
    customer_ids = range(STAFF_ID + 1, STAFF_ID + 1 + CUSTOMERS)
    users = [_user(user_id) for user_id in (STAFF_ID, *customer_ids)]
    goods = [_product(chance, number) for number in range(1, products + 1)]
    owners = [user_id for _ in range(ORDERS_PER_CUSTOMER) for user_id in customer_ids]
    orders = [
        _order(number, user_id, chance.sample(goods, LINES), FIRST_DAY + timedelta(minutes=number))
        for number, user_id in enumerate(owners, start=1)
    ]
    orders += [
        _order(number, customer_ids[number % CUSTOMERS], [goods[number % products]], FIRST_DAY)
        for number in range(len(orders) + 1, len(orders) + 1 + to_change)
    ]
    return Rows([_category(number) for number in range(CATEGORIES)], users, goods, orders)


def hash_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _category(number: int) -> Row:
    parent = None if number < 10 else FIRST_CATEGORY + number % 10
    name = f"Category {number:03}"
    return {"name": name, "slug": f"category-{number:03}", "description": f"Everything of {name}.", "parent_id": parent}


def _user(user_id: int) -> Row:
    return {
        "username": f"user_{user_id}",
        "email": f"user_{user_id}@example.com",
        "full_name": f"User {user_id}",
        "hashed_password": "no password",
        "is_superuser": user_id == STAFF_ID,
    }


def _product(chance: random.Random, number: int) -> Row:
    words = chance.sample(WORDS, 3)
    return {
        "name": f"{' '.join(words).title()} {number}",
        "slug": f"product-{number}",
        "sku": f"P-{number}",
        "description": f"{' '.join(chance.choices(WORDS, k=18)).capitalize()}.",
        "price": Decimal(chance.randrange(99, 99_999)) / 100,
        "stock_quantity": STOCK,
        "attributes": {"colour": chance.choice(WORDS), "weight": number % 900, "wireless": number % 2 == 0},
        "category_id": FIRST_CATEGORY + number % CATEGORIES,
    }


def _order(number: int, user_id: int, products: list[Row], placed: datetime) -> Row:
    """With its lines under `items`."""
    items = [
        {
            "product_id": int(product["sku"].removeprefix("P-")),
            "product_name": product["name"],
            "sku": product["sku"],
            "quantity": 1 + index,
            "unit_price": product["price"],
            "total_price": product["price"] * (1 + index),
        }
        for index, product in enumerate(products)
    ]
    return {
        "order_number": f"ORD-{number:09}",
        "user_id": user_id,
        "shipping_address": "1 Abbey Road, London NW8 9AY",
        "total_amount": sum((item["total_price"] for item in items), start=Decimal(0)),
        "created_at": placed,
        "updated_at": placed,
        "items": items,
    }
