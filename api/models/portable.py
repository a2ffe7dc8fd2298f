"""Which column type of `columns.py` replaces the one that SQLModel picked, and which types no table may have."""

from typing import Any, cast

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Enum,
    Float,
    Integer,
    Interval,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    String,
    Table,
    Text,
    Time,
    Uuid,
    event,
)
from sqlalchemy.types import TypeEngine
from sqlmodel import SQLModel
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

from api.models.columns import (
    MAX_DIGITS,
    BigInt,
    Cents,
    Document,
    EnumValue,
    Exact,
    ScaledInteger,
    Timestamp,
    UnicodeString,
)

ALIKE = (ScaledInteger, BigInt, UnicodeString, Timestamp, EnumValue, Boolean, Document, Date)
"""What three databases store, compare and write in JSON alike."""

INSTEAD: dict[type[TypeEngine[Any]], str] = {
    Float: "a Decimal with `max_digits` and `decimal_places`, which is exact",
    DateTime: "an AwareDatetime, which is stored in UTC",
    Enum: "`sa_type=EnumValue(...)`, and `one_of(...)` in `__table_args__`",
    LargeBinary: "a text in hexadecimal or base64",
    Uuid: "a text of 36 characters",
    Interval: "a number of seconds",
    Time: "a number of minutes since midnight",
}
"""What to declare in place of types that the databases store differently."""


def portable_type(declared: TypeEngine[Any]) -> TypeEngine[Any]:
    """The type of this module that replaces one of SQLModel's or SQLAlchemy's own.

    Raises:
        TypeError: The databases would not store it alike.
    """
    kind = type(declared)
    if isinstance(declared, AutoString):
        return UnicodeString(cast(String, declared.impl).length)
    if kind in (String, Text):
        return UnicodeString(cast(String, declared).length)
    if kind is Numeric:
        return _portable_decimal(cast("Numeric[Any]", declared))
    replacements: dict[Any, type[TypeEngine[Any]]] = {
        Integer: BigInt,
        BigInteger: BigInt,
        SmallInteger: BigInt,
        UTCDateTime: Timestamp,
        JSON: Document,
    }
    found = replacements[kind]() if kind in replacements else declared
    if not isinstance(found, ALIKE):
        instead = next((INSTEAD[each] for each in INSTEAD if isinstance(found, each)), "one of api/models/columns.py")
        raise TypeError(f"{declared!r} is not stored alike by SQLite, PostgreSQL and MariaDB: declare {instead}")
    return found


def _portable_decimal(declared: "Numeric[Any]") -> TypeEngine[Any]:
    """Money without limits or with two places; else `Exact` with as many."""
    if declared.scale in (None, Cents.scale) and (declared.precision or 0) <= MAX_DIGITS:
        return Cents()
    return Exact(declared.precision or MAX_DIGITS + 1, declared.scale or 0)


@event.listens_for(Column, "before_parent_attach")
def _store_portably(column: Column[Any], table: Table) -> None:
    if table.metadata is SQLModel.metadata:
        try:
            column.type = portable_type(column.type)
        except (TypeError, ValueError) as error:
            raise TypeError(f"{table.name}.{column.name}: {error}") from None


@event.listens_for(Table, "after_parent_attach")
def _never_reuse_ids(table: Table, metadata: MetaData) -> None:
    """SQLite would give the id of a deleted row to the next row; the other databases never do."""
    if metadata is SQLModel.metadata:
        table.dialect_kwargs["sqlite_autoincrement"] = True
