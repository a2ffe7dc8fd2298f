"""What the admin derives from the class families and the routes; a new entity has it without a line written for it."""

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from pydantic import Field as Limits
from sqlmodel import SQLModel

from api.admin.actions import VARIANTS, actions_of
from api.admin.entities import Entities, Kind
from api.admin.fields import Field, Input, fields_of, value_in
from api.admin.forms import filled, typed
from api.main import create_app
from api.models.texts import LINES
from api.models.types import SECRET
from api.settings import Settings
from tests.house.families import CLASSES, ENTITIES

HIDDEN = {"hashed_password", "token_hash", "search_text", "erased_at"}


@pytest.fixture(scope="module")
def entities() -> Entities:
    app: FastAPI = create_app(Settings(_env_file=None, database_url="sqlite:///unused.db"))
    return Entities(app)


class TestEntities:
    def test_every_table_that_has_a_read_class_is_in_the_admin(self, entities: Entities) -> None:
        expected = {name for name in ENTITIES if f"{name}Read" in CLASSES}
        assert {each.model.__name__ for each in entities.values()} == expected

    def test_no_secret_and_no_hash_is_shown(self, entities: Entities) -> None:
        shown = {column.name for entity in entities.values() for column in entity.columns}
        assert not shown & HIDDEN
        assert "username" in shown

    def test_every_foreign_key_leads_to_an_entity(self, entities: Entities) -> None:
        for entity in entities.values():
            for column in entity.columns:
                if column.kind is Kind.LINK:
                    assert entities.of_table(column.target) is not None, f"{entity.name}.{column.name}"

    def test_what_the_api_lists_comes_first_and_in_its_order(self, entities: Entities) -> None:
        names = list(entities)
        assert names[:4] == ["users", "categories", "products", "orders"]
        assert names.index("notifications") < names.index("order-items")

    def test_what_has_rules_is_changed_by_actions_alone(self, entities: Entities) -> None:
        for name in ("orders", "payments", "accounts", "stock-movements", "order-items", "refunds", "transactions"):
            assert entities[name].update is None
            assert entities[name].delete is None

    def test_every_variant_is_of_a_route(self, entities: Entities) -> None:
        routes = {f"{each.method} {each.path}" for entity in entities.values() for each in entity.routes}
        assert VARIANTS.keys() <= routes

    def test_the_names_of_an_entitys_actions_differ(self, entities: Entities) -> None:
        for entity in entities.values():
            names = [each.name for each in actions_of(entities, entity)]
            assert len(names) == len(set(names))


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Line(BaseModel):
    product_id: int
    quantity: int


class Everything(SQLModel):
    """One field of each kind."""

    name: Annotated[str, Limits(min_length=1, max_length=20)]
    text: Annotated[str | None, Limits(max_length=5_000), LINES] = None
    password: Annotated[str, SECRET, Limits(max_length=20)]
    count: Annotated[int, Limits(ge=1, le=9)]
    price: Decimal
    weight: float = 1.5
    is_new: bool = True
    colour: Colour = Colour.RED
    size: Literal["S", "M"] = "M"
    since: datetime | None = None
    day: date | None = None
    category_id: Annotated[int, Limits(ge=1)] | None = None
    tags: list[str] = []
    lines: list[Line] = []
    extra: dict[str, Any] = {}
    odd: int | str | None = None


class TestFields:
    @pytest.fixture
    def fields(self, entities: Entities) -> dict[str, Field]:
        return {each.key: each for each in fields_of(Everything, entities, entities["products"])}

    def test_every_type_has_its_input(self, fields: dict[str, Field]) -> None:
        assert {name: field.input for name, field in fields.items()} == {
            "name": Input.LINE,
            "text": Input.LINES,
            "password": Input.PASSWORD,
            "count": Input.INTEGER,
            "price": Input.DECIMAL,
            "weight": Input.DECIMAL,
            "is_new": Input.CHECKBOX,
            "colour": Input.CHOICE,
            "size": Input.CHOICE,
            "since": Input.TIME,
            "day": Input.DATE,
            "category_id": Input.ROW,
            "tags": Input.WORDS,
            "lines": Input.TABLE,
            "extra": Input.DOCUMENT,
            "odd": Input.DOCUMENT,
        }

    def test_limits_and_choices_are_those_of_the_type(self, fields: dict[str, Field]) -> None:
        assert fields["name"].attributes == {"minlength": 1, "maxlength": 20}
        assert fields["count"].attributes == {"min": 1, "max": 9}
        assert fields["colour"].choices == ("red", "blue")
        assert fields["size"].choices == ("S", "M")
        assert [each.input for each in fields["lines"].parts] == [Input.ROW, Input.INTEGER]
        assert fields["name"].is_required
        assert not fields["price"].is_nullable

    @pytest.mark.parametrize(
        ("name", "text", "value"),
        [
            ("name", " x ", " x "),
            ("text", "a\r\nb", "a\nb"),
            ("text", "  ", None),
            ("count", "7", 7),
            ("count", " 7 ", 7),
            ("count", "9" * 30, "9" * 30),
            ("count", "1e400", "1e400"),
            ("price", "79.99", "79.99"),
            ("is_new", "false", False),
            ("is_new", "maybe", "maybe"),
            ("colour", "green", "green"),
            ("since", "2026-05-12T09:30", "2026-05-12T09:30Z"),
            ("since", "never", "never"),
            ("category_id", "7", 7),
            ("category_id", "", None),
            ("tags", "a, b  c;d", ["a", "b", "c", "d"]),
            ("extra", "", {}),
            ("extra", '{"a": [1, null]}', {"a": [1, None]}),
            ("odd", "", None),
        ],
    )
    def test_a_text_becomes_json(self, fields: dict[str, Field], name: str, text: str, value: object) -> None:
        assert value_in(fields[name], text) == value

    @pytest.mark.parametrize("text", ["{", "NaN", '{"a": Infinity}', "[" * 100_000, "\0"])
    def test_what_is_no_json_is_refused(self, fields: dict[str, Field], text: str) -> None:
        with pytest.raises(ValueError, match=r"is not valid JSON|is nested too deeply"):
            value_in(fields["extra"], text)


class TestForms:
    def test_only_what_was_changed_is_sent(self, entities: Entities) -> None:
        fields = fields_of(Everything, entities, entities["products"])
        row = {
            "name": "a",
            "text": "b\nc",
            "count": 3,
            "tags": [{"slug": "x"}],
            "since": datetime(2026, 5, 12, tzinfo=UTC),
        }
        opened = filled(fields, row)
        sent = {each.name: opened.text(each.place).replace("\n", "\r\n") for each in fields}
        sent |= {f"was:{place}": text for place, text in opened.was.items()}

        assert typed(fields, sent).sent("body", only_changed=True) == {}
        changed = typed(fields, {**sent, "body.text": "", "body.count": "4"})
        assert changed.sent("body", only_changed=True) == {"text": None, "count": 4}

    def test_lines_that_are_left_empty_are_no_lines(self, entities: Entities) -> None:
        fields = fields_of(Everything, entities, entities["products"])
        form = typed(fields, {"body.lines.1.product_id": "7", "body.lines.5.quantity": "2", "body.lines.x": "1"})
        assert form.sent("body")["lines"] == [{"product_id": 7}, {"quantity": 2}]
        assert form.text("body.lines.0.product_id") == "7"
