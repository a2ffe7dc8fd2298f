"""How a Python type is stored, so that three databases give the same answers.

A table class declares Python types. SQLModel picks a column type for each, and the listener at the end of this file
replaces that type wherever it would differ between databases or be too small. So a table class says nothing of storage.

The migrations use these types too, also the oldest: what a type stores never changes, but a new type may be added.
"""

from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, cast

from sqlalchemy import BigInteger, Column, Dialect, Integer, MetaData, Numeric, String, Table, TypeDecorator, event
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import TypeCompiler
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeEngine
from sqlmodel import SQLModel
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

CENT = Decimal("0.01")
MAX_VARCHAR_LENGTH = 4_000
"""Longer strings become TEXT: InnoDB allows 65,535 bytes a row, at up to four bytes a character."""

ROOM_FOR_LONGER_VALUES = 8
"""Characters beyond an enum's longest value, so that a new value seldom needs a wider column, and so a migration."""


class BigInt(BigInteger):
    """64 bits. SQLite's INTEGER has them already, and only that spelling makes it number new rows."""


@compiles(BigInt, "sqlite")
def _write_integer(kind: BigInt, compiler: TypeCompiler, **options: Any) -> str:
    return "INTEGER"


class Cents(TypeDecorator[Decimal]):
    """Money as a whole number of cents, `Decimal` with two places in Python.

    SQLite has no exact decimal type: its NUMERIC turns into a binary float. Whole numbers are exact everywhere, also
    under SUM, comparison and CHECK. A raw SQL query therefore sees 7999 where Python sees `Decimal("79.99")`.
    """

    impl = BigInteger
    cache_ok = True

    @property
    def python_type(self) -> type[Decimal]:
        return Decimal

    def coerce_compared_value(self, op: OperatorType | None, value: Any) -> TypeEngine[Any]:
        """In `price * 2` the 2 is a number of pieces, and no amount of money."""
        return BigInteger() if isinstance(value, int) else self

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        if value is None:
            return None
        cents = Decimal(value).scaleb(2)
        if cents != cents.to_integral_value():
            raise ValueError(f"{value} has more than two decimal places")
        return int(cents)

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        return None if value is None else (Decimal(value) / 100).quantize(CENT)


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


class EnumValue(TypeDecorator[Enum]):
    """An enum stored as its value; the CHECK that guards the column is the table's (see `one_of` in `base.py`)."""

    impl = String
    cache_ok = True

    def __init__(self, enum: type[Enum]) -> None:
        super().__init__(length=max(len(member.value) for member in enum) + ROOM_FOR_LONGER_VALUES)
        self.enum = enum

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return UnicodeString(cast(String, self.impl).length).load_dialect_impl(dialect)

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else str(self.enum(value).value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Enum | None:
        return None if value is None else self.enum(value)

    def process_literal_param(self, value: Any, dialect: Dialect) -> str:
        return str(self.process_bind_param(value, dialect))


def portable_type(declared: TypeEngine[Any]) -> TypeEngine[Any]:
    """The type of this module that replaces one of SQLModel's or SQLAlchemy's own."""
    kind = type(declared)
    if kind is AutoString:
        return UnicodeString(cast(String, cast(AutoString, declared).impl).length)
    replacements: dict[Any, type[TypeEngine[Any]]] = {Integer: BigInt, Numeric: Cents, UTCDateTime: Timestamp}
    return replacements[kind]() if kind in replacements else declared


@event.listens_for(Column, "before_parent_attach")
def _store_portably(column: Column[Any], table: Table) -> None:
    if table.metadata is SQLModel.metadata:
        column.type = portable_type(column.type)


@event.listens_for(Table, "after_parent_attach")
def _never_reuse_ids(table: Table, metadata: MetaData) -> None:
    """SQLite would give the id of a deleted row to the next row; the other databases never do."""
    if metadata is SQLModel.metadata:
        table.dialect_kwargs["sqlite_autoincrement"] = True
