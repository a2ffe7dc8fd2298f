"""Values that are easily written wrongly."""

from datetime import UTC, datetime
from typing import Any

from sqlmodel.ext.asyncio.session import AsyncSession

from tests.factories import a_category, a_product

ODD_TEXTS = ["", "Ünïcödé 🎧", 'quotes " and \\ back\\slashes', "control \x01 \x1f \x7f", "</script>", "\u2028"]
"""Inside others: validation would strip what stands around a text, and what is stored was stripped when it came."""
ODD_TIMES = [
    datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC),
    datetime(2026, 1, 1, tzinfo=UTC),
    datetime(1970, 1, 1, 0, 0, 0, 10, UTC),
]
ODD_JSON: list[dict[str, Any]] = [
    {},
    {"nested": {"list": [1, 2.5, None, True, "x"], "empty": {}}},
    {"large": 2**53, "small": -1e-7, "é": "☃"},
]
PRICES = ["0.01", "0.10", "1.00", "9999999999.99"]


async def products_with_odd_values(session: AsyncSession) -> None:
    """One product for each text, with and without a category, and with the other values in turn."""
    category = await a_category(session, "Ünïcödé 🎧", description=None)
    for number, text in enumerate(ODD_TEXTS):
        await a_product(
            session,
            f"x{text}{number}",
            category if number % 2 else None,
            price=PRICES[number % len(PRICES)],
            description=f"x{text}x",
            attributes=ODD_JSON[number % len(ODD_JSON)],
            created_at=ODD_TIMES[number % len(ODD_TIMES)],
        )
