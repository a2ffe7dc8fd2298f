"""The field types that several class families share, each with its limits and its example."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, EmailStr, JsonValue, StrictBool
from pydantic import Field as Limits


class _Mark:
    """The kind of `SECRET`, `PERSONAL` and `READING_CHANGES`."""


SECRET = _Mark()
"""In the type of a field that holds a password or a token: neither is stored as it is, nor an answer that has one."""

PERSONAL = _Mark()
"""In the type of a field that may tell of a person: the audit trail says only that it changed."""

READING_CHANGES = _Mark()
"""In the type of a whole number that rises when its row is read: it makes no ETag, or nobody could ever be told that
what was read is unchanged."""

MAX_ID = 2**63 - 1
"""The largest signed 64-bit integer, which is what all three databases store."""

ABSENT: Any = None
"""The default of a field that a request may leave out; where the field's type has no `None`, it is never null."""


def without_nul(value: Any) -> Any:
    """Refuse U+0000 anywhere in a value: PostgreSQL cannot store it, so no database here does.

    Raises:
        ValueError: The value holds one.
    """
    match value:
        case str() if "\0" in value:
            raise ValueError("must not contain the NUL character")
        case dict():
            without_nul(list(value.keys()))
            without_nul(list(value.values()))
        case list():
            for item in value:
                without_nul(item)
    return value


WORDS_FOR_PATTERNS: dict[str, str] = {}
"""What to tell a person about each pattern of a text."""


def in_words(pattern: str, words: str) -> str:
    """A pattern, with the words that a refusal and the document say of it."""
    WORDS_FOR_PATTERNS[pattern] = words
    return pattern


def in_plain_words(mistake: Mapping[str, Any]) -> str:
    """What a person is told of a mistake that pydantic found; never the value."""
    if mistake["type"] == "string_pattern_mismatch":
        return WORDS_FOR_PATTERNS.get(mistake["ctx"]["pattern"], str(mistake["msg"]))
    if mistake["type"] == "string_unicode":  # in a value, or in the name of a field, which then cannot be named
        return "must not contain a lone surrogate"
    return str(mistake["msg"]).removeprefix("Value error, ")


def _integral(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def places(scale: int) -> AfterValidator:
    """Have a decimal keep so many places, as its column has them: `max_digits` and `decimal_places` make it `Exact`."""
    return AfterValidator(lambda value: value.quantize(Decimal(1).scaleb(-scale)))


Integral = BeforeValidator(_integral)
"""Takes 2.0 for 2: JSON has one kind of number, and JSON Schema calls 2.0 an integer."""

# Integers and booleans are strict, because JSON has both: "2" is no quantity and 1 is not true.
StoredInteger = Annotated[int, Limits(ge=-MAX_ID - 1, le=MAX_ID)]
Id = Annotated[int, Limits(strict=True, ge=1, le=MAX_ID, examples=[1]), Integral]
Quantity = Annotated[int, Limits(strict=True, ge=1, le=10_000, examples=[2]), Integral]
"""Units of one product in one order. Ten thousand of the dearest product still fit into 64 bits of cents."""

Count = Annotated[int, Limits(examples=[12])]
"""How many rows or units there are, in an answer."""

Email = Annotated[EmailStr, Limits(max_length=254, examples=["john@example.com"]), AfterValidator(str.lower)]
"""Stored in lower case, so that it is unique without regard to case. RFC 5321 allows 254 characters."""

SLUG_PATTERN = in_words(
    r"^[a-z0-9]+(-[a-z0-9]+)*$", "must consist of the letters a to z, digits, and single hyphens between them"
)
Slug = Annotated[str, Limits(min_length=1, max_length=120, pattern=SLUG_PATTERN, examples=["headphones"])]

Sha256 = Annotated[str, Limits(max_length=64)]
"""A hash in hexadecimal."""

IsActive = Annotated[StrictBool, Limits(examples=[True])]
"""Whether a product is for sale, or a user may sign in."""


def _spelled_out(value: object) -> object:
    """Pydantic would take a number for the seconds since 1970."""
    if not isinstance(value, datetime) and not (isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d[Tt ]", value)):
        raise ValueError("must be a time such as 2026-05-12T09:30:00Z")
    return value


def _in_utc(value: datetime) -> datetime:
    """As it is stored; a moment of the first or the last day of all may have none."""
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be a time of the years 1 to 9999 in UTC") from None


Time = Annotated[
    AwareDatetime, BeforeValidator(_spelled_out), AfterValidator(_in_utc), Limits(examples=["2026-05-12T09:30:00Z"])
]
"""A moment that a client names."""

JsonObject = dict[str, JsonValue]
