"""The fields of a form, derived from the types of a request's class: what each is, its limits, and what it offers."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum, StrEnum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, EmailStr
from pydantic.fields import FieldInfo

from api.admin.entities import Entities, Entity
from api.admin.visits import SECRET_PREFIX
from api.admin.words import label_of
from api.import_export.cells import read_json
from api.models.texts import LINES
from api.models.types import SECRET

SHORT = 255
"""Characters that still fit into one line of a form."""


class Input(StrEnum):
    """What a person enters a value with."""

    LINE = "text"
    LINES = "lines"
    PASSWORD = "password"  # noqa: S105
    INTEGER = "integer"
    DECIMAL = "decimal"
    CHECKBOX = "checkbox"
    CHOICE = "choice"
    ROW = "row"
    TIME = "time"
    DATE = "date"
    WORDS = "words"
    DOCUMENT = "document"
    TABLE = "table"


OTHER_INPUTS: dict[Any, Input] = {
    bool: Input.CHECKBOX,
    int: Input.INTEGER,
    Decimal: Input.DECIMAL,
    float: Input.DECIMAL,
    datetime: Input.TIME,
    date: Input.DATE,
}
"""Of types without a choice in it; what has none here is entered as JSON."""


@dataclass(frozen=True)
class Field:
    """One field of a form. Its place is that which the API names in a refusal: `body.price`."""

    place: str
    input: Input
    is_required: bool
    is_nullable: bool
    default: Any
    description: str
    attributes: Mapping[str, Any]
    """Limits, as HTML has them."""
    choices: tuple[str, ...] = ()
    target: Entity | None = None
    """Whose rows it refers to."""
    parts: tuple["Field", ...] = ()
    """The fields of each row, where it is a list of objects."""

    @property
    def key(self) -> str:
        """Its name in JSON."""
        return self.place.rpartition(".")[2]

    @property
    def name(self) -> str:
        """Its name in the form."""
        return SECRET_PREFIX + self.place if self.input is Input.PASSWORD else self.place

    @property
    def label(self) -> str:
        return label_of(self.key)


def fields_of(model: type[BaseModel] | None, entities: Entities, entity: Entity, place: str = "body") -> list[Field]:
    """The fields of a class; those that must be filled in come first, texts of many lines last."""
    found = (
        []
        if model is None
        else [field_of(f"{place}.{name}", info, entities, entity) for name, info in model.model_fields.items()]
    )
    return sorted(found, key=lambda each: each.input in (Input.LINES, Input.DOCUMENT, Input.TABLE))


def query_fields_of(query: Mapping[str, FieldInfo], entities: Entities, entity: Entity) -> list[Field]:
    return [field_of(f"query.{name}", info, entities, entity) for name, info in query.items()]


def field_of(place: str, info: FieldInfo, entities: Entities, entity: Entity) -> Field:
    kind, metadata, is_nullable = _taken_apart(info.annotation)
    metadata = [*_flat(info.metadata), *metadata]
    name = place.rpartition(".")[2]
    described = (each.description for each in metadata if isinstance(each, FieldInfo) and each.description)
    target = _target_of(name, entities, entity) if kind is int else None
    item = get_args(kind)[0] if get_origin(kind) is list else None
    parts = _class_in(item)
    input_ = Input.ROW if target else Input.TABLE if parts else _input_of(kind, item, metadata)
    return Field(
        place=place,
        input=input_,
        is_required=info.is_required(),
        is_nullable=is_nullable,
        default=None if info.is_required() else info.get_default(call_default_factory=True, validated_data={}),
        description=info.description or next(described, ""),
        attributes=_attributes(metadata) if input_ not in (Input.ROW, Input.WORDS, Input.TABLE) else {},
        choices=_choices(kind if item is None else _taken_apart(item)[0]),
        target=target,
        parts=tuple(fields_of(parts, entities, _owner_of(parts, entities, entity), place)) if parts else (),
    )


def _taken_apart(annotation: Any) -> tuple[Any, list[Any], bool]:
    """The type itself, what is said of it, and whether it may be null."""
    metadata: list[Any] = []
    is_nullable = False
    while True:
        origin, arguments = get_origin(annotation), get_args(annotation)
        if origin is Annotated:
            annotation, metadata = arguments[0], [*metadata, *_flat(arguments[1:])]
        elif origin in (Union, UnionType) and NoneType in arguments:
            is_nullable = True
            (annotation, *others) = [each for each in arguments if each is not NoneType]
            if others:
                return Any, metadata, True
        else:
            return annotation, metadata, is_nullable


def _flat(metadata: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for each in metadata:
        found += [each, *_flat(each.metadata)] if isinstance(each, FieldInfo) else [each]
    return found


def _class_in(item: Any) -> type[BaseModel] | None:
    kind = None if item is None else _taken_apart(item)[0]
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _owner_of(parts: type[BaseModel], entities: Entities, entity: Entity) -> Entity:
    """The entity whose family a class is of: `OrderItem` of `OrderItemCreate`."""
    family = (each for each in entities.values() if each.model.__module__ == parts.__module__)
    return next(family, entity)


def _target_of(name: str, entities: Entities, entity: Entity) -> Entity | None:
    column = entity.column(name)
    table = column.target if column is not None else entities.target_of(name)
    return entities.of_table(table)


def _input_of(kind: Any, item: Any, metadata: list[Any]) -> Input:
    if SECRET in metadata:
        return Input.PASSWORD
    if get_origin(kind) is Literal or (isinstance(kind, type) and issubclass(kind, Enum)):
        return Input.CHOICE
    if item is not None:
        return Input.WORDS if _is_word(_taken_apart(item)[0]) else Input.DOCUMENT
    if kind in (str, EmailStr):
        is_long = LINES in metadata or (_limit(metadata, "max_length") or 0) > SHORT
        return Input.LINES if is_long else Input.LINE
    return OTHER_INPUTS.get(kind, Input.DOCUMENT)


def _is_word(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, str)


def _choices(kind: Any) -> tuple[str, ...]:
    if get_origin(kind) is Literal:
        return tuple(map(str, get_args(kind)))
    return tuple(str(each.value) for each in kind) if isinstance(kind, type) and issubclass(kind, Enum) else ()


def _limit(metadata: list[Any], *names: str) -> Any:
    found = (getattr(each, name, None) for name in names for each in metadata if not isinstance(each, FieldInfo))
    return next((each for each in found if each is not None), None)


def _attributes(metadata: list[Any]) -> dict[str, Any]:
    """For people who do not send the form in vain; what counts is what the API says."""
    limits = {
        "maxlength": _limit(metadata, "max_length"),
        "minlength": _limit(metadata, "min_length"),
        "min": _limit(metadata, "ge", "gt"),
        "max": _limit(metadata, "le", "lt"),
    }
    return {name: value for name, value in limits.items() if value is not None}


def value_in(field: Field, text: str) -> Any:
    """The JSON value of what was typed. What is no such value is sent as it is: the API says what is wrong with it.

    Raises:
        ValueError: It is meant to be JSON, and is none.
    """
    text = text.replace("\r\n", "\n")
    stripped = text.strip()
    if not stripped and field.is_nullable:
        return None
    match field.input:
        case Input.CHECKBOX if stripped in ("true", "false"):
            return stripped == "true"
        case Input.INTEGER | Input.ROW if re.fullmatch(r"-?[0-9]{1,18}", stripped):
            return int(stripped)
        case Input.INTEGER | Input.ROW | Input.DECIMAL:
            return stripped
        case Input.TIME:
            return f"{stripped}Z" if re.fullmatch(r"[0-9-]{10}T[0-9:.]+", stripped) else stripped
        case Input.WORDS:
            return [each for each in re.split(r"[\s,;]+", stripped) if each]
        case Input.DOCUMENT:
            return read_json(stripped or "{}")
    return text
