"""What several tests of /products need."""

from typing import Any

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.product import Product
from api.models.types import MAX_ID
from tests.books import movements_of

BAD_FIELDS: list[tuple[str, Any]] = [
    ("name", None),
    ("name", ""),
    ("name", "   "),
    ("name", "x" * 201),
    ("name", 1),
    ("name", "a\0b"),
    ("slug", ""),
    ("slug", "Head Phones"),
    ("slug", "a--b"),
    ("slug", "x" * 121),
    ("sku", None),
    ("sku", ""),
    ("sku", "WH_001"),
    ("sku", "WH--001"),
    ("sku", "-WH"),
    ("sku", "WH 001"),
    ("sku", "ÉCOUTE"),
    ("sku", "X" * 51),
    ("description", "x" * 5_001),
    ("description", 1),
    ("description", "\0"),
    ("price", None),
    ("price", 0),
    ("price", "0.00"),
    ("price", -1),
    ("price", "-0.01"),
    ("price", "0.001"),
    ("price", 0.001),
    ("price", "NaN"),
    ("price", "inf"),
    ("price", "-Infinity"),
    ("price", "1e400"),
    ("price", "1e-400"),
    ("price", "10000000000.00"),
    ("price", 10**30),
    ("price", "free"),
    ("price", ""),
    ("price", True),
    ("price", [1]),
    ("is_active", None),
    ("is_active", "perhaps"),
    ("is_active", 2),
    ("attributes", None),
    ("attributes", []),
    ("attributes", "red"),
    ("attributes", {"text": "x" * 10_000}),
    ("attributes", {"text": "a\0b"}),
    ("attributes", {"a\0b": 1}),
    ("attributes", {"list": [{"inside": "\0"}]}),
    ("category_id", 0),
    ("category_id", -1),
    ("category_id", MAX_ID + 1),
    ("category_id", 1.5),
    ("category_id", "one"),
    ("category_id", MAX_ID),
    ("id", 7),
    ("created_at", "2020-01-01T00:00:00Z"),
    ("category", {"name": "Audio"}),
    ("colour", "red"),
]
"""Fields with values that are refused when a product is added, replaced or updated."""


def product_body(**fields: Any) -> dict[str, Any]:
    """The JSON body that adds or replaces a product."""
    return {"name": "Headphones", "sku": "WH-001", "price": "79.99", **fields}


def short(value: Any) -> str:
    """A parametrize id that fits into one line of a log."""
    return ascii(value)[:40]


async def stored_skus(session: AsyncSession) -> list[str]:
    """The SKUs of all products in the database, in order of their ids."""
    return list((await session.exec(select(Product.sku).order_by(col(Product.id)))).all())


async def deltas(session: AsyncSession, product: Product) -> list[int]:
    """The delta of each stock movement of a product, oldest first."""
    return [delta for delta, _, _ in await movements_of(session, product)]
