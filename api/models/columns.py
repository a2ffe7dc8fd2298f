"""How a Python type is stored, so that three databases give the same answers.

A table class declares Python types; `SQLModel` picks a column type for each, and the listener at the end of this file
replaces that choice wherever the default would differ between databases or be too small. Nothing has to be said twice,
and nothing can be forgotten, in a table class.

The migrations use these types too, the oldest as well: what one of them stores is not to change, a new type may come.
"""

from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Any, cast

from sqlalchemy import BigInteger, Column, Dialect, Integer, MetaData, Numeric, String, Table, TypeDecorator, event
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.dialects.sqlite import INTEGER
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeEngine
from sqlmodel import SQLModel
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

CENT = Decimal("0.01")
LONGEST_VARCHAR = 4_000
"""Longer strings become TEXT: InnoDB allows 65,535 bytes a row, at up to four bytes a character."""


class BigInt(TypeDecorator[int]):
    """64 bits. SQLite's INTEGER has them already, and only that spelling makes it number new rows."""

    impl = BigInteger
    cache_ok = True

    @property
    def python_type(self) -> type[int]:
        return int

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(INTEGER() if dialect.name == "sqlite" else BigInteger())


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
        """Read `price * 2` as two pieces, not as two units of money."""
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


class Text(TypeDecorator[str]):
    """A string that is compared and sorted by code point, whatever collation the database was created with."""

    impl = String
    cache_ok = True

    @property
    def python_type(self) -> type[str]:
        return str

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        length = cast(String, self.impl).length
        long = length is None or length > LONGEST_VARCHAR
        if dialect.name == "postgresql":
            return dialect.type_descriptor(String(None if long else length, collation="C"))
        if dialect.name == "mysql":
            unicode: dict[str, Any] = {"charset": "utf8mb4", "collation": "utf8mb4_bin"}
            return dialect.type_descriptor(mysql.MEDIUMTEXT(**unicode) if long else mysql.VARCHAR(length, **unicode))
        return dialect.type_descriptor(sqlite.TEXT() if long else String(length))


class Moment(UTCDateTime):
    """An aware UTC time to the microsecond; MySQL's DATETIME would round it to the second."""

    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        return datetime

    def __repr__(self) -> str:
        return "Moment()"

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        utc = super().process_bind_param(value, dialect)
        return utc.replace(tzinfo=None) if utc and dialect.name == "mysql" else utc  # it takes no offset

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[datetime]:
        if dialect.name == "mysql":
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return super().load_dialect_impl(dialect)


class Choice(TypeDecorator[Enum]):
    """An enum stored as its value; the CHECK that guards the column is the table's (see `base.one_of`)."""

    impl = String
    cache_ok = True

    def __init__(self, enum: type[Enum]) -> None:
        super().__init__(length=max(len(member.value) for member in enum) + 8)
        self.enum = enum

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return Text(cast(String, self.impl).length).load_dialect_impl(dialect)

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else str(self.enum(value).value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Enum | None:
        return None if value is None else self.enum(value)

    def process_literal_param(self, value: Any, dialect: Dialect) -> str:
        return str(self.process_bind_param(value, dialect))


def portable(declared: TypeEngine[Any]) -> TypeEngine[Any]:
    """The type of this module that stands for SQLModel's or SQLAlchemy's own."""
    kind = type(declared)
    if kind is AutoString:
        return Text(cast(String, cast(AutoString, declared).impl).length)
    substitutes: dict[Any, type[TypeEngine[Any]]] = {Integer: BigInt, Numeric: Cents, UTCDateTime: Moment}
    return substitutes[kind]() if kind in substitutes else declared


@event.listens_for(Column, "before_parent_attach")
def _store_portably(column: Column[Any], table: Table) -> None:
    if table.metadata is SQLModel.metadata:
        column.type = portable(column.type)


@event.listens_for(Table, "after_parent_attach")
def _never_reuse_ids(table: Table, metadata: MetaData) -> None:
    """SQLite would give a deleted row's id to the next row; the other databases never do."""
    if metadata is SQLModel.metadata:
        table.dialect_kwargs["sqlite_autoincrement"] = True
