"""What every table keeps, so that three databases store the same and no index or `ondelete` is forgotten.

Each failure names the file and what to add there.
"""

from typing import Any

import pytest
from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)

from api.models.columns import BigInt, Cents, EnumValue, Exact, Timestamp, UnicodeString
from tests.house.families import ENTITIES, TABLES, all_columns, all_tables, file_of, table_of

PORTABLE = (BigInt, Cents, Exact, UnicodeString, Timestamp, EnumValue)
ALSO_PORTABLE = {"Boolean", "Document", Exact}
"""SQLAlchemy's own types that three databases agree on."""

LONGEST_IDENTIFIER = 63
"""PostgreSQL cuts off the rest; MySQL takes one more."""

NAMES = {
    ForeignKeyConstraint: "fk_{table}_",
    UniqueConstraint: "uq_{table}_",
    CheckConstraint: "ck_{table}_",
    Index: "ix_{table}_",
    PrimaryKeyConstraint: "pk_{table}",
}
"""How each kind of constraint is named by `SQLModel.metadata.naming_convention`."""


def foreign_keys() -> list[Any]:
    return [
        pytest.param(key, id=f"{table.name}.{'.'.join(key.column_keys)}")
        for table in TABLES
        for key in sorted(table.foreign_key_constraints, key=lambda each: list(each.column_keys))
    ]


def indexed_columns(table: Table) -> set[str]:
    """The columns by which an index of some kind can be searched: the first one of each."""
    keys = [each for each in table.constraints if isinstance(each, PrimaryKeyConstraint | UniqueConstraint)]
    return {next(iter(each.columns)).name for each in keys} | {each.columns.keys()[0] for each in table.indexes}


def constraints_of(table: Table) -> list[Any]:
    return [*table.constraints, *table.indexes]


class TestEntity:
    @pytest.mark.parametrize("name", ENTITIES)
    def test_every_table_is_named_in_the_plural(self, name: str) -> None:
        table = table_of(ENTITIES[name]).name
        assert table.endswith("s"), f'{file_of(ENTITIES[name])}: say __tablename__ = "{table}s" in {name}'
        assert table.islower(), f'{file_of(ENTITIES[name])}: say __tablename__ = "{table.lower()}" in {name}'

    @pytest.mark.parametrize("table", all_tables())
    def test_every_table_has_a_key_that_is_never_used_again(self, table: Table) -> None:
        assert table.primary_key.columns, f"{file_of(table)}: say primary_key=True for a column of {table.name}"
        assert table.dialect_kwargs["sqlite_autoincrement"], f"SQLite would use an id of {table.name} again"


class TestColumn:
    @pytest.mark.parametrize("column", all_columns())
    def test_every_column_has_a_type_that_three_databases_share(self, column: Column[Any]) -> None:
        kind = type(column.type)
        assert kind in PORTABLE or kind.__name__ in ALSO_PORTABLE, (
            f"{file_of(column)}: {column.name} is stored as {kind.__name__}, which the databases treat differently: "
            "say sa_type=EnumValue(...) for an enum, and let api/models/portable.py choose otherwise"
        )

    @pytest.mark.parametrize("column", all_columns(UnicodeString, EnumValue))
    def test_every_text_column_has_a_maximum_length(self, column: Column[Any]) -> None:
        assert isinstance(column.type, UnicodeString | EnumValue)
        assert column.type.length, (
            f"{file_of(column)}: say max_length=... for {column.name} "
            "(in `Annotated[str | None, Limits(...)]` the None stands inside, or the column loses its length)"
        )

    @pytest.mark.parametrize("column", [each for each in all_columns() if each.values[0].type.python_type is int])
    def test_every_whole_number_has_64_bits(self, column: Column[Any]) -> None:
        assert isinstance(column.type, BigInt), f"{file_of(column)}: take the sa_type of {column.name} away"

    @pytest.mark.parametrize("column", all_columns(EnumValue))
    def test_every_enum_column_is_checked_against_its_values(self, column: Column[Any]) -> None:
        assert isinstance(column.type, EnumValue)
        checks = [str(each.sqltext) for each in column.table.constraints if isinstance(each, CheckConstraint)]
        values = ", ".join(f"'{member.value}'" for member in column.type.enum)
        assert f"{column.name} IN ({values})" in checks, (
            f'{file_of(column)}: add `one_of("{column.name}", {column.type.enum.__name__})` to __table_args__'
        )

    @pytest.mark.parametrize("column", all_columns(EnumValue))
    def test_every_enum_column_holds_lower_case_values(self, column: Column[Any]) -> None:
        assert isinstance(column.type, EnumValue)
        wrong = [member.value for member in column.type.enum if member.value != member.value.lower()]
        assert not wrong, f"{file_of(column)}: write the values of {column.name} in lower case: {wrong}"
        assert max(len(member.value) for member in column.type.enum) <= column.type.length


class TestForeignKey:
    @pytest.mark.parametrize("key", foreign_keys())
    def test_every_foreign_key_says_what_happens_on_delete(self, key: ForeignKeyConstraint) -> None:
        names = ", ".join(key.column_keys)
        assert key.ondelete in {"CASCADE", "RESTRICT", "SET NULL"}, (
            f'{file_of(key.table)}: say ondelete="CASCADE", "RESTRICT" or "SET NULL" for {names}'
        )
        if key.ondelete == "SET NULL":
            assert all(column.nullable for column in key.columns), (
                f'{file_of(key.table)}: let the type of {names} have None, or do not say ondelete="SET NULL"'
            )

    @pytest.mark.parametrize("key", foreign_keys())
    def test_every_foreign_key_has_an_index(self, key: ForeignKeyConstraint) -> None:
        column = key.column_keys[0]
        assert column in indexed_columns(key.table), (
            f"{file_of(key.table)}: say index=True for {column}, or name it first in a UniqueConstraint"
        )


class TestConstraint:
    @pytest.mark.parametrize("table", all_tables())
    def test_every_constraint_is_named_by_the_convention(self, table: Table) -> None:
        for each in constraints_of(table):
            form = NAMES[type(each)].format(table=table.name)
            assert each.name.startswith(form), f"{file_of(table)}: leave the name of {each.name} to the convention"
            assert len(each.name) <= LONGEST_IDENTIFIER, f"{file_of(table)}: PostgreSQL would cut off {each.name}"

    def test_every_constraint_has_a_name_of_its_own(self) -> None:
        """PostgreSQL wants the names of indexes to be unique among all tables."""
        names = [each.name for table in TABLES for each in constraints_of(table)]
        twice = sorted({name for name in names if names.count(name) > 1})
        assert not twice, f"two constraints are called by one name in api/models/: {twice}"
