"""What the classes of every family keep: the schemas of requests and answers, and the relationships of the tables.

Each failure names the file and what to add there.
"""

from collections.abc import Iterator
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import Table, inspect
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import RelationshipProperty
from sqlmodel import SQLModel, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.category import Category
from api.models.post import Post
from api.models.product import Product
from api.models.user import User
from tests.factories import a_category, a_post, a_product
from tests.house.families import CLASSES, ENTITIES, file_of, schemas, table_of
from tests.support import ROOT

REGISTRY = "api/models/__init__.py"

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

WRITTEN_BY_STAFF = {"is_active", "is_superuser"}
"""What an update may hold all the same: its route asks for staff."""

NOT_IN_ANSWERS = {"hashed_password", "token_hash", "password", "fingerprint"}

LIMITS = {
    "string": "max_length=...",
    "array": "max_length=...",
    "integer": "ge=... and le=...",
    "number": "ge=... and le=...",
}
"""What to say for each type of a JSON schema that has no limits."""


def relationships() -> list[Any]:
    return [
        pytest.param(entity, relationship, id=f"{name}.{relationship.key}")
        for name, entity in ENTITIES.items()
        for relationship in inspect(entity).relationships
    ]


def fields(*suffixes: str) -> list[Any]:
    """Each field of each class whose name ends so."""
    return [
        pytest.param(each.values[0], field, id=f"{each.id}.{field}")
        for each in schemas(*suffixes)
        for field in each.values[0].model_fields
    ]


def table_of_update(schema: type[SQLModel]) -> Table:
    """The table that a class updates: `ProductUpdate` and `ProfileUpdate` are of `Product` and `User`."""
    return table_of(ENTITIES[schema.__name__.removesuffix("Update").replace("Profile", "User")])


class TestRegistry:
    def test_every_family_is_in_the_registry(self) -> None:
        lines = (ROOT / REGISTRY).read_text().splitlines()
        files = {each.__module__.rpartition(".")[2] for each in ENTITIES.values()}
        missing = [f"`{file},`" for file in sorted(files) if f"    {file}," not in lines]
        assert not missing, f"add to {REGISTRY} the line {' and the line '.join(missing)}"


class TestWrittenSchema:
    """The classes of requests."""

    @pytest.mark.parametrize("schema", schemas("Base"))
    def test_no_base_holds_what_a_client_may_not_write(self, schema: type[SQLModel]) -> None:
        allowed = {"is_active"} if schema.__name__ == "ProductBase" else set()
        wrong = schema.model_fields.keys() & SHOPS_OWN - allowed
        assert not wrong, f"{file_of(schema)}: move {sorted(wrong)} from {schema.__name__} to the table class"

    @pytest.mark.parametrize("schema", schemas("Base", "Create", "Update"))
    def test_every_schema_of_a_request_refuses_unknown_fields(self, schema: type[SQLModel]) -> None:
        message = f"{file_of(schema)}: let {schema.__name__} inherit from api.models.base.Schema"
        assert schema.model_config.get("extra") == "forbid", message
        with pytest.raises(ValidationError) as refusal:
            schema.model_validate({"no_such_field": 1})
        errors = [(each["type"], each["loc"]) for each in refusal.value.errors()]
        assert ("extra_forbidden", ("no_such_field",)) in errors, message

    @pytest.mark.parametrize("schema", schemas("Base", "Create", "Update"))
    def test_every_field_of_a_request_has_limits(self, schema: type[SQLModel]) -> None:
        """Every string and every list has a maximum length, every number a range."""
        found = [(path, node["type"]) for path, node in leaves(schema.model_json_schema()) if not is_limited(node)]
        missing = [
            f"{file_of(schema)}: say {LIMITS[kind]} for {field_at(path, schema.__name__)}" for path, kind in found
        ]
        assert not missing, "\n".join(missing)

    @pytest.mark.parametrize("schema", schemas("Base", "Create", "Update"))
    def test_every_text_of_a_request_says_what_it_may_hold(self, schema: type[SQLModel]) -> None:
        missing = [
            f"{file_of(schema)}: end the type of {field_at(path, schema.__name__)} with LINE or LINES"
            for path, node in leaves(schema.model_json_schema())
            if node["type"] == "string" and not {"pattern", "format", "enum", "const"} & node.keys()
        ]
        assert not missing, "\n".join(missing)


class TestUpdate:
    @pytest.mark.parametrize("schema", schemas("Update"))
    def test_every_update_may_leave_everything_out(self, schema: type[SQLModel]) -> None:
        required = [name for name, field in schema.model_fields.items() if field.is_required()]
        assert not required, f"{file_of(schema)}: say `= ABSENT` for {', '.join(required)} in {schema.__name__}"
        assert schema.model_validate({}).model_dump(exclude_unset=True) == {}

    @pytest.mark.parametrize(("schema", "field"), fields("Update"))
    def test_every_update_takes_null_exactly_where_the_column_does(self, schema: type[SQLModel], field: str) -> None:
        place = f"{file_of(schema)}: {schema.__name__}.{field}"
        column = table_of_update(schema).columns.get(field)
        refused = fields_refused(schema, {field: None})
        if column is not None and column.nullable:
            assert not refused, f"{place} refuses null, but its column takes it: add `| None` to its type"
            assert schema.model_validate({field: None}).model_dump(exclude_unset=True) == {field: None}
        else:
            assert refused == [field], f"{place} takes null, but its column does not: take the None out of its type"

    @pytest.mark.parametrize("schema", schemas("Update"))
    def test_no_update_writes_more_than_staff_may(self, schema: type[SQLModel]) -> None:
        wrong = schema.model_fields.keys() & (SHOPS_OWN - WRITTEN_BY_STAFF)
        assert not wrong, f"{file_of(schema)}: take {sorted(wrong)} out of {schema.__name__}"


class TestReadSchema:
    """The classes of answers."""

    @pytest.mark.parametrize("schema", schemas("Read", "Summary"))
    def test_no_answer_shows_a_hash(self, schema: type[SQLModel]) -> None:
        wrong = schema.model_fields.keys() & NOT_IN_ANSWERS
        assert not wrong, f"{file_of(schema)}: take {sorted(wrong)} out of {schema.__name__}"

    def test_every_enum_is_an_enum_of_strings(self) -> None:
        enums = [each for each in CLASSES.values() if issubclass(each, Enum)]
        wrong = [
            f"{file_of(each)}: let {each.__name__} inherit from StrEnum" for each in enums if str not in each.mro()
        ]
        assert not wrong, "\n".join(wrong)


class TestRelationship:
    @pytest.mark.parametrize(("entity", "relationship"), relationships())
    def test_no_relationship_loads_by_accident(
        self, entity: type[SQLModel], relationship: RelationshipProperty[Any]
    ) -> None:
        assert relationship.lazy == "raise", f"{file_of(entity)}: make {relationship.key} with `related(...)`"

    @pytest.mark.parametrize(("entity", "relationship"), relationships())
    def test_every_relationship_leaves_deleting_to_the_foreign_keys(
        self, entity: type[SQLModel], relationship: RelationshipProperty[Any]
    ) -> None:
        assert relationship.secondary is not None or relationship.passive_deletes == "all", (
            f"{file_of(entity)}: make {relationship.key} with `related(...)`"
        )

    async def test_a_relationship_that_was_not_loaded_raises_when_it_is_touched(self, session: AsyncSession) -> None:
        await a_product(session, category=await a_category(session))
        await a_post(session)
        session.expunge_all()

        for model, attribute in ((Category, "products"), (Product, "category"), (Post, "author"), (User, "posts")):
            row = (await session.exec(select(model))).first()
            with pytest.raises(InvalidRequestError, match="lazy='raise'"):
                getattr(row, attribute)


def test_a_field_without_limits_is_found_and_named() -> None:
    class GadgetCreate(SQLModel):
        note: str | None = None
        sizes: list[int]
        weight: Decimal | None = None

    found = [(path, node["type"]) for path, node in leaves(GadgetCreate.model_json_schema()) if not is_limited(node)]
    named = [(field_at(path, "GadgetCreate"), kind) for path, kind in found]
    assert {field for field, _ in named} == {"note in GadgetCreate", "sizes in GadgetCreate", "weight in GadgetCreate"}
    assert ("sizes in GadgetCreate", "array") in named
    assert ("sizes in GadgetCreate", "integer") in named


def fields_refused(schema: type[SQLModel], body: dict[str, Any]) -> list[Any]:
    """The fields of a request for which it is refused."""
    try:
        schema.model_validate(body)
    except ValidationError as refusal:
        return [each["loc"][0] for each in refusal.errors()]
    return []


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


def field_at(path: str, schema: str) -> str:
    """The field that a node stands in: `.properties.text.anyOf.0` of a schema is its field `text`."""
    parts = path.strip(".").split(".")
    if parts[0] == "$defs":
        schema, parts = parts[1], parts[2:]
    return f"{parts[1]} in {schema}" if len(parts) > 1 else schema


def is_limited(node: dict[str, Any]) -> bool:
    match node["type"]:
        case "string":
            return bool(node.keys() & {"maxLength", "enum", "const", "pattern", "format"})
        case "integer" | "number":
            return bool(node.keys() & {"maximum", "exclusiveMaximum"} and node.keys() & {"minimum", "exclusiveMinimum"})
        case "array":
            return "maxItems" in node
    return True
