"""How a Python type is stored, so that three databases give the same answers.

A table class declares Python types. SQLModel picks a column type for each, and `portable.py` replaces it by one of
these wherever it would differ between databases or be too small. So a table class says nothing of storage.

The migrations use these types too, also the oldest: what a type stores never changes, but a new type may be added.
"""

import enum
import json
import re
from collections.abc import Sequence
from datetime import datetime
from decimal import Context, Decimal
from typing import Any, cast

from sqlalchemy import (
    JSON,
    BigInteger,
    Dialect,
    String,
    TypeDecorator,
    type_coerce,
)
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import operators
from sqlalchemy.sql.compiler import TypeCompiler
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeEngine
from sqlmodel.sql.sqltypes import UTCDateTime

CENT = Decimal("0.01")
MAX_DIGITS = 18
"""Digits that 64 bits hold, whatever they are."""

MAX_PLACES = 6
WIDE = Context(prec=60)
"""For sums: they may have more digits than the 28 of Python's own context."""

PLACES = {2: "two"}
KEEPING_PLACES = {operators.add, operators.sub, operators.mul}
"""A product with a whole number."""

MULTIPLICATIONS = {operators.mul, operators.truediv, operators.floordiv, operators.mod}

MAX_VARCHAR_LENGTH = 4_000
"""Longer strings become TEXT: InnoDB allows 65,535 bytes a row, at up to four bytes a character."""

ROOM_FOR_LONGER_VALUES = 8
"""Characters beyond an enum's longest value, so that a new value seldom needs a wider column, and so a migration."""


class BigInt(BigInteger):
    """64 bits. SQLite's INTEGER has them already, and only that spelling makes it number new rows."""


@compiles(BigInt, "sqlite")
def _write_integer(kind: BigInt, compiler: TypeCompiler, **options: Any) -> str:
    return "INTEGER"


class _ScaledOperators(TypeDecorator.Comparator[Any], BigInteger.Comparator[Any]):
    """What a column of scaled integers can be combined with: a sum keeps its places, a product would not."""

    def operate(self, op: OperatorType, *other: Any, **options: Any) -> Any:
        return self._combined(op, other, super().operate(op, *other, **options))

    def reverse_operate(self, op: OperatorType, other: Any, **options: Any) -> Any:
        return self._combined(op, (other,), super().reverse_operate(op, other, **options))

    def _combined(self, op: OperatorType, other: Sequence[Any], result: Any) -> Any:
        mine, theirs = self.type, getattr(other[0], "type", None) if other else None
        if isinstance(theirs, ScaledInteger) and (op in MULTIPLICATIONS or repr(mine) != repr(theirs)):
            raise TypeError(f"combine {mine!r} and {theirs!r} in Python: they have other numbers of places")
        return type_coerce(result, mine) if op in KEEPING_PLACES else result


class ScaledInteger(TypeDecorator[Decimal]):
    """A decimal as a whole number of its smallest unit: the base of `Cents` and `Exact`.

    SQLite has no exact decimal type: its NUMERIC turns into a binary float. Whole numbers are exact everywhere, also
    under SUM, comparison and CHECK, as long as a sum fits into 64 bits. A raw SQL query therefore sees 7999 where
    Python sees `Decimal("79.99")`.
    """

    impl = BigInteger
    cache_ok = True
    comparator_factory: Any = _ScaledOperators
    precision = MAX_DIGITS
    scale: int
    unit: Decimal
    """The smallest value above zero."""

    @property
    def python_type(self) -> type[Decimal]:
        return Decimal

    def coerce_compared_value(self, op: OperatorType | None, value: Any) -> TypeEngine[Any]:
        """In `price * 2` the 2 is a number of pieces, and no amount of money."""
        if op not in MULTIPLICATIONS:
            return self
        if isinstance(value, int):
            return BigInteger()
        raise TypeError(f"multiply or divide {self!r} by {value} in Python: the result has another number of places")

    def parse(self, text: str) -> Decimal:
        """A value as it stands in an answer.

        Raises:
            ValueError: It is no such value.
        """
        if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text):
            raise ValueError("is not a number")
        self._unscaled(Decimal(text))
        return Decimal(text)

    def _unscaled(self, value: Decimal) -> int:
        units = Decimal(value).scaleb(self.scale)
        if units != units.to_integral_value():
            raise ValueError(f"{value} has more than {PLACES.get(self.scale, self.scale)} decimal places")
        if abs(units) >= 10**self.precision:
            raise ValueError(f"{value} has more than {self.precision - self.scale} digits before the decimal point")
        return int(units)

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        return None if value is None else self._unscaled(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value).scaleb(-self.scale, WIDE).quantize(self.unit, context=WIDE)


class Cents(ScaledInteger):
    """Money as a whole number of cents, `Decimal` with two places in Python."""

    cache_ok = True
    scale = 2
    unit = CENT


class Exact(ScaledInteger):
    """An exact decimal that is no money, such as a rate or a weight: `Exact(12, 4)` holds 99999999.9999 at most.

    Raises:
        ValueError: It has more than 18 digits, which 64 bits do not hold, or more than 6 of them after the point, where
            Python would write the smallest ones as 1E-7.
    """

    cache_ok = True

    def __init__(self, precision: int, scale: int) -> None:
        if not (0 < precision <= MAX_DIGITS and 0 <= scale <= min(precision, MAX_PLACES)):
            limits = f"{MAX_DIGITS} digits at most, and {MAX_PLACES} of them after the decimal point"
            raise ValueError(f"Exact({precision}, {scale}) cannot be stored alike on every database: use {limits}")
        super().__init__()
        self.precision, self.scale, self.unit = precision, scale, Decimal(1).scaleb(-scale)

    def __repr__(self) -> str:
        return f"Exact(precision={self.precision}, scale={self.scale})"


class UnicodeString(TypeDecorator[str]):
    """A string that is compared and sorted by code point, whatever collation the database was created with."""

    impl = String
    cache_ok = True

    @property
    def python_type(self) -> type[str]:
        return str

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        length = cast(String, self.impl).length
        long = length is None or length > MAX_VARCHAR_LENGTH
        if dialect.name == "postgresql":
            return dialect.type_descriptor(String(None if long else length, collation="C"))
        if dialect.name == "mysql":
            unicode: dict[str, Any] = {"charset": "utf8mb4", "collation": "utf8mb4_bin"}
            return dialect.type_descriptor(mysql.MEDIUMTEXT(**unicode) if long else mysql.VARCHAR(length, **unicode))
        return dialect.type_descriptor(sqlite.TEXT() if long else String(length))


class Timestamp(UTCDateTime):
    """An aware UTC time to the microsecond; MySQL's DATETIME would round it to the second."""

    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        return datetime

    def __repr__(self) -> str:
        return "Timestamp()"

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        utc = super().process_bind_param(value, dialect)
        return utc.replace(tzinfo=None) if utc and dialect.name == "mysql" else utc  # it takes no offset

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[datetime]:
        if dialect.name == "mysql":
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return super().load_dialect_impl(dialect)


class Document(JSON):
    """A value of JSON. Two are the same where they are written alike: to Python 1 and 1.0 equal true."""

    def __repr__(self) -> str:
        return "Document()"

    def compare_values(self, x: Any, y: Any) -> bool:
        return is_same(x, y)


def is_same(one: Any, other: Any) -> bool:
    """Whether two values of a column are the same."""
    if not isinstance(one, dict | list):
        return bool(one == other)
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


class EnumValue(TypeDecorator[enum.Enum]):
    """An enum stored as its value; the CHECK that guards the column is the table's (see `one_of` in `base.py`)."""

    impl = String
    cache_ok = True

    def __init__(self, enum: type[enum.Enum]) -> None:
        super().__init__(length=max(len(member.value) for member in enum) + ROOM_FOR_LONGER_VALUES)
        self.enum = enum

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return UnicodeString(cast(String, self.impl).length).load_dialect_impl(dialect)

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else str(self.enum(value).value)

    def process_result_value(self, value: Any, dialect: Dialect) -> enum.Enum | None:
        return None if value is None else self.enum(value)

    def process_literal_param(self, value: Any, dialect: Dialect) -> str:
        return str(self.process_bind_param(value, dialect))
