"""Rules that every class family keeps, so that none has to be remembered."""

from collections.abc import Iterator
from decimal import Decimal
from enum import Enum
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError
from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    inspect,
)
from sqlalchemy import Enum as SQLEnum
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import RelationshipProperty
from sqlmodel import SQLModel, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api import models
from api.models.category import Category
from api.models.columns import BigInt, Cents, EnumValue, Timestamp, UnicodeString
from api.models.post import Post
from api.models.product import Product, ProductBase
from api.models.user import User
from tests.support import save

REGISTRY = Path(str(models.__file__)).read_text()
TABLES = SQLModel.metadata.sorted_tables
FAMILY: dict[str, Any] = {
    name: each
    for module in iter_modules(models.__path__)
    for name, each in vars(import_module(f"api.models.{module.name}")).items()
    if getattr(each, "__module__", "") == f"api.models.{module.name}"
}
"""Every class of every file of api/models/."""
CLASSES: dict[str, type[SQLModel]] = {
    name: each for name, each in FAMILY.items() if isinstance(each, type) and issubclass(each, SQLModel)
}
TABLE_CLASSES: dict[str, type[SQLModel]] = {name: each for name, each in CLASSES.items() if hasattr(each, "__table__")}
LONGEST_IDENTIFIER = 63
"""PostgreSQL cuts off the rest; MySQL takes one more."""

SHOPS_OWN = {
    "id",
    "created_at",
    "updated_at",
    "author_id",
    "hashed_password",
    "token_hash",
    "is_active",
    "is_superuser",
}
"""What a client may not write, wherever it is a column."""

NAMES = {
    ForeignKeyConstraint: "fk_{table}_",
    UniqueConstraint: "uq_{table}_",
    CheckConstraint: "ck_{table}_",
    Index: "ix_{table}_",
    PrimaryKeyConstraint: "pk_{table}",
}


def columns() -> list[Any]:
    return [pytest.param(column, id=f"{table.name}.{column.name}") for table in TABLES for column in table.columns]


def columns_of(*kinds: type[Any]) -> list[Any]:
    return [each for each in columns() if isinstance(each.values[0].type, kinds)]


def foreign_keys() -> list[Any]:
    return [
        pytest.param(constraint, id=f"{table.name}.{'.'.join(constraint.column_keys)}")
        for table in TABLES
        for constraint in sorted(table.foreign_key_constraints, key=lambda each: list(each.column_keys))
    ]


def relationships() -> list[Any]:
    return [
        pytest.param(relationship, id=f"{name}.{relationship.key}")
        for name, each in TABLE_CLASSES.items()
        for relationship in inspect(each).relationships
    ]


def schemas(*suffixes: str) -> list[Any]:
    return [
        pytest.param(each, id=name)
        for name, each in CLASSES.items()
        if name.endswith(suffixes) and not hasattr(each, "__table__")
    ]


def table_of(schema: type[SQLModel]) -> Table:
    """The table of a schema's family: `ProductUpdate` and `ProfileUpdate` are of `Product` and `User`."""
    stem = schema.__name__.removesuffix("Update").replace("Profile", "User")
    table: Table = TABLE_CLASSES[stem].__table__  # type: ignore[attr-defined]
    return table


def leading_columns(table: Table) -> set[str]:
    """The columns by which an index of some kind can be searched."""
    keys = [each for each in table.constraints if isinstance(each, PrimaryKeyConstraint | UniqueConstraint)]
    return {next(iter(each.columns)).name for each in keys} | {each.columns.keys()[0] for each in table.indexes}


def names_of(table: Table) -> dict[str, type[Any]]:
    """What its constraints and indexes are called, and what each is."""
    named: list[Any] = [*table.constraints, *table.indexes]
    return {each.name: type(each) for each in named}


class TestColumns:
    @pytest.mark.parametrize("column", columns())
    def test_are_of_a_type_that_three_databases_agree_on(self, column: Column[Any]) -> None:
        portable = {BigInt, Cents, UnicodeString, Timestamp, EnumValue}
        assert type(column.type) in portable or type(column.type).__name__ in {"Boolean", "JSON"}

    @pytest.mark.parametrize("column", columns_of(UnicodeString, EnumValue))
    def test_of_text_have_a_length(self, column: Column[Any]) -> None:
        assert isinstance(column.type, UnicodeString | EnumValue)
        assert column.type.length

    @pytest.mark.parametrize("column", [each for each in columns() if each.values[0].type.python_type is int])
    def test_of_whole_numbers_have_64_bits(self, column: Column[Any]) -> None:
        assert isinstance(column.type, BigInt)

    @pytest.mark.parametrize("column", columns_of(EnumValue))
    def test_of_an_enum_are_checked_against_its_values(self, column: Column[Any]) -> None:
        assert isinstance(column.type, EnumValue)
        checks = [str(each.sqltext) for each in column.table.constraints if isinstance(each, CheckConstraint)]
        values = ", ".join(f"'{member.value}'" for member in column.type.enum)
        assert f"{column.name} IN ({values})" in checks

    @pytest.mark.parametrize("column", columns_of(EnumValue))
    def test_of_an_enum_hold_lower_case_values(self, column: Column[Any]) -> None:
        assert isinstance(column.type, EnumValue)
        assert all(member.value == member.value.lower() for member in column.type.enum)
        assert max(len(member.value) for member in column.type.enum) <= column.type.length

    @pytest.mark.parametrize("column", columns())
    def test_are_never_a_native_enum(self, column: Column[Any]) -> None:
        assert not isinstance(column.type, SQLEnum)

    @pytest.mark.parametrize("table", [pytest.param(table, id=table.name) for table in TABLES])
    def test_every_table_has_a_key_that_is_never_used_again(self, table: Table) -> None:
        assert table.primary_key.columns
        assert table.dialect_kwargs["sqlite_autoincrement"]


class TestConstraints:
    @pytest.mark.parametrize("foreign_key", foreign_keys())
    def test_a_foreign_key_says_what_happens_on_delete(self, foreign_key: ForeignKeyConstraint) -> None:
        assert foreign_key.ondelete in {"CASCADE", "RESTRICT", "SET NULL"}
        if foreign_key.ondelete == "SET NULL":
            assert all(column.nullable for column in foreign_key.columns)

    @pytest.mark.parametrize("foreign_key", foreign_keys())
    def test_a_foreign_key_has_an_index(self, foreign_key: ForeignKeyConstraint) -> None:
        assert foreign_key.column_keys[0] in leading_columns(foreign_key.table)

    @pytest.mark.parametrize("table", [pytest.param(table, id=table.name) for table in TABLES])
    def test_all_are_named_by_the_convention(self, table: Table) -> None:
        for name, kind in names_of(table).items():
            assert name.startswith(NAMES[kind].format(table=table.name))
            assert len(name) <= LONGEST_IDENTIFIER

    def test_no_name_is_given_twice(self) -> None:
        assert sum(len(names_of(table)) for table in TABLES) == len(
            {name for table in TABLES for name in names_of(table)}
        )
        for table in TABLES:
            assert len(names_of(table)) == len(table.constraints) + len(table.indexes)


class TestRelationships:
    @pytest.mark.parametrize("relationship", relationships())
    def test_never_load_by_accident(self, relationship: RelationshipProperty[Any]) -> None:
        assert relationship.lazy == "raise"

    @pytest.mark.parametrize("relationship", relationships())
    def test_leave_deleting_to_the_foreign_keys(self, relationship: RelationshipProperty[Any]) -> None:
        assert relationship.secondary is not None or relationship.passive_deletes == "all"

    async def test_touching_one_that_was_not_loaded_raises(self, session: AsyncSession) -> None:
        category = Category(name="Audio", slug="audio")
        user = User(username="john", email="john@example.com", hashed_password="")
        await save(session, category, user)
        await save(
            session,
            Product(name="Radio", slug="radio", sku="R-1", price=Decimal(1), category_id=category.id),
            Post(title="Hello", slug="hello", content="Hello.", author_id=user.id),
        )
        session.expunge_all()

        for model, attribute in ((Category, "products"), (Product, "category"), (Post, "author"), (Post, "tags")):
            row = (await session.exec(select(model))).first()
            with pytest.raises(InvalidRequestError, match="lazy='raise'"):
                getattr(row, attribute)


class TestFamilies:
    def test_every_family_is_in_the_registry(self) -> None:
        files = {each.__module__.rpartition(".")[2] for each in TABLE_CLASSES.values()}
        missing = files - vars(models).keys() | {file for file in files if f"    {file}," not in REGISTRY.splitlines()}
        assert not missing, f"add to api/models/__init__.py the line {', '.join(f'`{file},`' for file in missing)}"

    @pytest.mark.parametrize("name", TABLE_CLASSES)
    def test_a_table_is_named_in_the_plural(self, name: str) -> None:
        table: str = TABLE_CLASSES[name].__tablename__  # type: ignore[assignment]
        assert table.endswith("s")
        assert table.islower()

    @pytest.mark.parametrize("schema", schemas("Base"))
    def test_a_base_holds_nothing_that_a_client_may_not_write(self, schema: type[SQLModel]) -> None:
        allowed = {"is_active"} if schema is ProductBase else set()
        assert not schema.model_fields.keys() & SHOPS_OWN - allowed

    @pytest.mark.parametrize("schema", schemas("Base", "Create", "Update"))
    def test_what_a_client_writes_has_no_unknown_fields(self, schema: type[SQLModel]) -> None:
        assert schema.model_config.get("extra") == "forbid"
        with pytest.raises(ValidationError) as refusal:
            schema.model_validate({"no_such_field": 1})
        assert ("extra_forbidden", ("no_such_field",)) in [
            (each["type"], each["loc"]) for each in refusal.value.errors()
        ]

    @pytest.mark.parametrize("schema", schemas("Update"))
    def test_an_update_may_leave_everything_out(self, schema: type[SQLModel]) -> None:
        assert schema.model_validate({}).model_dump(exclude_unset=True) == {}

    @pytest.mark.parametrize(
        ("schema", "field"),
        [
            pytest.param(each.values[0], field, id=f"{each.id}.{field}")
            for each in schemas("Update")
            for field in each.values[0].model_fields
        ],
    )
    def test_an_update_takes_null_exactly_where_the_column_does(self, schema: type[SQLModel], field: str) -> None:
        column = table_of(schema).columns.get(field)
        if column is not None and column.nullable:
            assert schema.model_validate({field: None}).model_dump(exclude_unset=True) == {field: None}
        else:
            with pytest.raises(ValidationError) as refusal:
                schema.model_validate({field: None})
            assert [each["loc"][0] for each in refusal.value.errors()] == [field]

    @pytest.mark.parametrize("schema", schemas("Update"))
    def test_an_update_writes_no_more_than_staff_may(self, schema: type[SQLModel]) -> None:
        assert not schema.model_fields.keys() & (SHOPS_OWN - {"is_active", "is_superuser"})

    @pytest.mark.parametrize("schema", schemas("Base", "Create", "Update"))
    def test_what_a_client_writes_has_limits(self, schema: type[BaseModel]) -> None:
        """Every string has a maximum length, every number a range, every list a maximum length."""
        unlimited = [path for path, node in leaves(schema.model_json_schema()) if not is_limited(node)]
        assert unlimited == []

    @pytest.mark.parametrize("schema", schemas("Read", "Summary"))
    def test_a_read_shows_no_hash(self, schema: type[SQLModel]) -> None:
        assert not schema.model_fields.keys() & {"hashed_password", "token_hash", "password", "fingerprint"}

    def test_every_enum_is_one_of_strings(self) -> None:
        for each in FAMILY.values():
            if isinstance(each, type) and issubclass(each, Enum):
                assert issubclass(each, str)


def subclasses(parent: type[Any]) -> Iterator[type[Any]]:
    for child in parent.__subclasses__():
        yield child
        yield from subclasses(child)


def leaves(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each node of a JSON schema that says of which type a value is."""
    match schema:
        case {"type": str(), **_rest}:
            yield path, schema
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key not in {"examples", "example", "default"}:
                yield from leaves(value, f"{path}.{key}")
    elif isinstance(schema, list):
        for number, value in enumerate(schema):
            yield from leaves(value, f"{path}.{number}")


def is_limited(node: dict[str, Any]) -> bool:
    match node["type"]:
        case "string":
            return bool(node.keys() & {"maxLength", "enum", "const", "pattern", "format"})
        case "integer" | "number":
            return bool(node.keys() & {"maximum", "exclusiveMaximum"} and node.keys() & {"minimum", "exclusiveMinimum"})
        case "array":
            return "maxItems" in node
    return True
