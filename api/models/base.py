"""What every class family shares: the schema base, the field types with their limits, and the table helpers."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from enum import Enum
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    EmailStr,
    JsonValue,
    WithJsonSchema,
    field_validator,
)
from pydantic import Field as Limits
from sqlalchemy import CheckConstraint
from sqlmodel import Field, Relationship, SQLModel

from api.models.columns import CENT

# Constraints and indexes get their names from this convention alone, so a downgrade can name them on every database.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def utcnow() -> datetime:
    return datetime.now(UTC)


def without_nul(value: Any) -> Any:
    """Refuse U+0000 anywhere in a value: PostgreSQL cannot store it, so no database here does."""
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


def _drop_null_defaults(schema: dict[str, Any]) -> None:
    """An update's `null` default only says that the field may be absent; as a value it would be refused."""
    for field in schema.get("properties", {}).values():
        if field.get("default", ...) is None:
            del field["default"]


class Schema(SQLModel):
    """The base of every family: unknown fields are refused, surrounding white space is dropped."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, json_schema_extra=_drop_null_defaults)  # type: ignore[assignment]

    @field_validator("*", mode="after")
    @classmethod
    def _without_nul(cls, value: Any) -> Any:
        return without_nul(value)


def _plainly_written(value: Any) -> Any:
    """Refuse what `Decimal` would take for a number, but a person would not: `true`, `"1_000"`, `"1e3"`."""
    if isinstance(value, bool) or (isinstance(value, str) and not re.fullmatch(PLAIN_AMOUNT, value)):
        raise ValueError("must be a number such as 79.99, or a string that holds one")
    return value


def _written_as_a_number(text: str) -> str:
    """In a URL everything is text: take what JSON takes for a number, and nothing else that `Decimal` would take."""
    if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?", text):
        raise ValueError("must be a number such as 79.99")
    return text


def _two_places(value: Decimal) -> Decimal:
    return value.quantize(CENT)


def average(total: Decimal, count: int) -> Decimal:
    """The mean to the cent, half up; divided here because the databases' own AVG differ in precision."""
    return (total / count).quantize(CENT, ROUND_HALF_UP) if count else Decimal("0.00")


MAX_ID = 2**63 - 1
MAX_STOCK = 1_000_000_000
MAX_AMOUNT = Decimal("9999999999.99")


def _whole(value: Any) -> Any:
    """JSON has one kind of number, and JSON Schema calls 2.0 an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = BeforeValidator(_whole)

StoredInteger = Annotated[int, Limits(ge=-MAX_ID - 1, le=MAX_ID)]
Id = Annotated[int, Limits(strict=True, ge=1, le=MAX_ID, examples=[1]), Whole]
Flag = Annotated[bool, Limits(strict=True)]
"""Strict: JSON has numbers and booleans of its own, so `"2"` is no quantity and `1` is not true."""

PLAIN_AMOUNT = r"[0-9]{1,10}(\.[0-9]{1,2})?"
ABOVE_ZERO = r"(?!0+(\.0+)?$)"

_written = {"type": "string", "pattern": r"^-?\d+\.\d{2}$", "examples": ["79.99"]}
_read = {
    "anyOf": [
        {"type": "string", "pattern": f"^{ABOVE_ZERO}{PLAIN_AMOUNT}$"},
        {"type": "number", "exclusiveMinimum": 0, "maximum": float(MAX_AMOUNT)},
    ],
    "examples": ["79.99"],
}

Money = Annotated[Decimal, AfterValidator(_two_places), WithJsonSchema(_written)]
"""An exact amount in the shop's one currency, in answers; in JSON a string with two decimal places."""

Amount = Annotated[
    Decimal,
    BeforeValidator(_plainly_written),
    Limits(gt=0, le=MAX_AMOUNT, max_digits=12, decimal_places=2),
    AfterValidator(_two_places),
    WithJsonSchema(_read, mode="validation"),
    WithJsonSchema(_written, mode="serialization"),
]
"""An amount that a client sends: above zero, at most two decimal places, as a string or a number."""

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
"""An amount in a URL, for comparisons: zero or more."""

Email = Annotated[EmailStr, Limits(max_length=254, examples=["john@example.com"]), AfterValidator(str.lower)]
"""Kept in lower case, so that it is unique without regard to case."""

Slug = Annotated[
    str, Limits(min_length=1, max_length=120, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", examples=["headphones"])
]

Quantity = Annotated[int, Limits(strict=True, ge=1, le=10_000, examples=[2]), Whole]
JsonObject = dict[str, JsonValue]


class Timestamps(SQLModel):
    """Set by the shop, never by a client."""

    created_at: AwareDatetime = Field(default_factory=utcnow, nullable=False)
    updated_at: AwareDatetime = Field(default_factory=utcnow, nullable=False, sa_column_kwargs={"onupdate": utcnow})


def related(back_populates: str | None = None, **options: Any) -> Any:
    """A relationship that a query loads on purpose (`joinedload`, `selectinload`); touching it unloaded raises.

    Deleting is left to the foreign keys: SQLAlchemy would load every child to delete it one by one.
    """
    link_model = options.pop("link_model", None)
    settings = {"lazy": "raise", **options}
    if link_model is None:
        settings["passive_deletes"] = "all"
    return Relationship(back_populates=back_populates, link_model=link_model, sa_relationship_kwargs=settings)


def one_of(column: str, values: Iterable[Enum]) -> CheckConstraint:
    """A CHECK that a column holds one of an enum's values."""
    allowed = ", ".join(f"'{value.value}'" for value in values)
    return CheckConstraint(f"{column} IN ({allowed})", name=column)


def check(name: str, condition: str) -> CheckConstraint:
    """A named CHECK of the table; a column's own named CHECK is a syntax error on MariaDB."""
    return CheckConstraint(condition, name=name)
