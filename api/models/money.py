"""Amounts of money: exact, in the shop's one currency, with two decimal places. In JSON they are strings."""

import re
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema
from pydantic import Field as Limits
from sqlalchemy import type_coerce
from sqlmodel import func

from api.models.columns import CENT, Cents

MAX_AMOUNT = Decimal("9999999999.99")
"""Twelve digits: nine million rows of this amount still sum up within 64 bits of cents."""

ZERO = Decimal("0.00")
"""With its two places, because an answer is written as it is."""

PLAIN_AMOUNT = r"[0-9]{1,10}(\.[0-9]{1,2})?"
ZERO_AS_TEXT = r"^0+(\.0+)?$"


def _plainly_written(value: Any) -> Any:
    """Refuse what `Decimal` would take for a number and a person would not: `true`, `"1_000"`, `"1e3"`."""
    if isinstance(value, bool) or (isinstance(value, str) and not re.fullmatch(PLAIN_AMOUNT, value)):
        raise ValueError("must be a number such as 79.99, or a string that holds one")
    return value


def _written_as_a_number(text: str) -> str:
    """A URL holds text alone: take what JSON takes for a number, and nothing else that `Decimal` would take."""
    if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?", text):
        raise ValueError("must be a number such as 79.99")
    return text


def _two_places(value: Decimal) -> Decimal:
    return value.quantize(CENT)


def total_of(amounts: Any) -> Any:
    """The SUM of a column of amounts, or of whole cents, in SQL: zero where there is none."""
    return type_coerce(func.coalesce(func.sum(amounts), 0), Cents)


def average(total: Decimal, count: int) -> Decimal:
    """The mean to the cent, rounded half up; divided here because the databases' own AVG differ in precision."""
    return (total / count).quantize(CENT, ROUND_HALF_UP) if count else ZERO


_answered = {"type": "string", "pattern": r"^-?\d+\.\d{2}$", "examples": ["79.99"]}
_requested = {
    "anyOf": [
        {"type": "string", "pattern": f"^{PLAIN_AMOUNT}$", "not": {"pattern": ZERO_AS_TEXT}},
        {"type": "number", "exclusiveMinimum": 0, "maximum": float(MAX_AMOUNT)},
    ],
    "examples": ["79.99"],
}

Money = Annotated[Decimal, AfterValidator(_two_places), WithJsonSchema(_answered)]
"""An amount in an answer: in JSON a string with two decimal places. It may be zero or negative."""

Amount = Annotated[
    Decimal,
    BeforeValidator(_plainly_written),
    Limits(gt=0, le=MAX_AMOUNT, max_digits=12, decimal_places=2),
    AfterValidator(_two_places),
    WithJsonSchema(_requested, mode="validation"),
    WithJsonSchema(_answered, mode="serialization"),
]
"""An amount in a request: above zero, with two decimal places at most, as a string or a number."""

AmountLimit = Annotated[
    Decimal,
    BeforeValidator(_written_as_a_number),
    Limits(ge=0, le=MAX_AMOUNT, decimal_places=2),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": float(MAX_AMOUNT)},
                {"type": "string", "pattern": f"^{PLAIN_AMOUNT}$"},
            ]
        }
    ),
]
"""An amount in a URL that others are compared with: zero or more."""
