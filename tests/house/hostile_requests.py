"""Hostile requests, made from the OpenAPI document: every operation, its places, and what to send in each of them."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import cached_property
from math import isfinite
from typing import Any

from openapi_schema_validator import OAS31Validator, oas31_format_checker

from tests.house.hostile_values import (
    AMOUNTS,
    ANYTHING,
    DEEP,
    MOMENTS,
    NUMBERS,
    OBJECTS,
    SECRET,
    SECRETS,
    TEXTS,
    URL_CHOICES,
    URL_NUMBERS,
    URL_TEXTS,
)

Json = dict[str, Any]

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"


@dataclass(frozen=True)
class Operation:
    """One method of one path of the document."""

    method: str
    path: str
    spec: Json = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def is_signed_in(self) -> bool:
        return bool(self.spec["security"])

    @property
    def takes_anyone(self) -> bool:
        return {} in (self.spec["security"] or [{}])

    def parameters(self, where: str) -> list[Json]:
        return [each for each in self.spec.get("parameters", []) if each["in"] == where]

    @property
    def media_type(self) -> str | None:
        return next(iter(self.spec.get("requestBody", {}).get("content", {})), None)

    @property
    def body(self) -> Json:
        assert self.media_type is not None
        schema: Json = self.spec["requestBody"]["content"][self.media_type]["schema"]
        return schema


@dataclass(frozen=True)
class Place:
    """A field of a body: the keys and indexes that lead to it, and its schema."""

    steps: tuple[str | int, ...]
    schema: Json = field(repr=False, compare=False)
    required: bool = False

    @property
    def name(self) -> str:
        return ".".join(map(str, ("body", *self.steps)))

    def emptied(self, body: Any) -> bytes:
        """The body without this field."""
        changed = json.loads(json.dumps(body))
        del self._holder(changed)[self.steps[-1]]
        return json.dumps(changed).encode()

    def _holder(self, body: Any) -> Any:
        for step in self.steps[:-1]:
            body = body[step]
        return body

    def mark(self, body: Any, mark: str) -> None:
        self._holder(body)[self.steps[-1]] = mark

    def holds(self, other: "Place") -> bool:
        return self is not other and other.steps[: len(self.steps)] == self.steps


def filled(body: Any, texts: Mapping[Place, str]) -> bytes:
    """A body with a JSON text in each of these places."""
    changed = json.loads(json.dumps(body))
    for number, place in enumerate(texts):
        place.mark(changed, f"\0{number}\0")
    parts = json.dumps(changed)
    for number, text in enumerate(texts.values()):
        parts = parts.replace(f'"\\u0000{number}\\u0000"', text)
    return parts.encode()


class Document:
    """The OpenAPI document: which values it allows in a place, and which hostile values to send there."""

    def __init__(self, openapi: Json) -> None:
        self.openapi = openapi
        self.validators: dict[int, OAS31Validator] = {}

    @cached_property
    def operations(self) -> list[Operation]:
        return [
            Operation(method.upper(), path, spec)
            for path, item in self.openapi["paths"].items()
            for method, spec in item.items()
        ]

    def resolved(self, schema: Json) -> Json:
        """A schema without references and without null at its top."""
        while "$ref" in schema:
            schema = self.openapi["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        choices = [each for each in schema.get("anyOf", []) if each != {"type": "null"}]
        return {**schema, **self.resolved(choices[0])} if len(choices) == 1 else schema

    def example(self, schema: Json) -> Any:
        """A valid value."""
        if schema.get("examples"):
            return schema["examples"][0]
        schema = self.resolved(schema)
        if schema.get("examples"):
            return schema["examples"][0]
        if "properties" in schema:
            return {name: self.example(each) for name, each in schema["properties"].items()}
        match schema:
            case {"default": default}:
                return default
            case {"const": value} | {"enum": [value, *_]}:
                return value
            case {"items": items}:
                return [self.example(items)]
        raise AssertionError(f"give this field or parameter `examples=[...]` in its type: {schema}")

    def places(self, schema: Json, *steps: str | int) -> Iterator[Place]:
        """Every field of a body, of its objects and of the first item of its lists."""
        schema = self.resolved(schema)
        for name, each in schema.get("properties", {}).items():
            yield Place((*steps, name), each, name in schema.get("required", []))
            yield from self.places(each, *steps, name)
        if "items" in schema:
            yield Place((*steps, 0), schema["items"])
            yield from self.places(schema["items"], *steps, 0)

    def hostile(self, schema: Json) -> Iterator[tuple[str, Any]]:
        """What to send in a place of a body, as JSON text, and the value that Python reads from it."""
        for written in self._written(schema):
            yield written, json.loads(written)

    def _written(self, schema: Json) -> list[str]:
        schema = self.resolved(schema)
        kinds = {each.get("type") for each in [schema, *schema.get("anyOf", [])]}
        values = [*ANYTHING, *DEEP]
        if "string" in kinds and "number" in kinds:
            values += AMOUNTS
        if kinds & {"integer", "number"}:
            values += NUMBERS
        elif schema.get("format") == "date-time":
            values += MOMENTS
        elif "string" in kinds:
            values += TEXTS
        elif "object" in kinds:
            values += OBJECTS
        elif "array" in kinds:
            values += [json.dumps([self.example(schema["items"])] * (schema.get("maxItems", 1_000) + 1))]
        if "password" in schema.get("title", "").lower():
            values += SECRETS
        if "maxLength" in schema:
            values += [json.dumps(letter * schema["maxLength"]) for letter in ("x", "\U0001f4a5", "\ufdfa")]
            values += [json.dumps(letter * (schema["maxLength"] + 1)) for letter in ("x", "\U0001f4a5")]
        return values

    def hostile_texts(self, schema: Json) -> list[str]:
        """What to send in a place of a URL or a form."""
        schema = self.resolved(schema)
        kinds = {each.get("type") for each in [schema, *schema.get("anyOf", [])]}
        if kinds & {"integer", "number"}:
            return URL_NUMBERS
        if "password" in schema.get("title", "").lower():
            return [*URL_TEXTS, SECRET, f"{SECRET}\0", SECRET * 1_000]
        return URL_CHOICES if "boolean" in kinds or "enum" in schema else URL_TEXTS

    def forbids(self, schema: Json, value: Any) -> bool:
        """Whether a value must be refused: no database can store it, or its schema forbids it, stripped or not."""
        if not _is_storable(value):
            return True
        candidates = [value, value.strip()] if isinstance(value, str) else [value]
        return not any(self._validator(schema).is_valid(each) for each in candidates)

    def forbids_text(self, schema: Json, text: str) -> bool:
        """Whether a text in a URL or a form must be refused. It can stand for a number or a boolean.

        A text that one reader takes for a number and another does not, such as `1_000`, is not forbidden.
        """
        received = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        match self.resolved(schema):
            case {"type": "integer"} if re.fullmatch(r"-?[0-9]+", received):
                return self.forbids(schema, int(received))
            case {"type": "integer"}:
                return re.search(r"[0-9]", received) is None
            case {"type": "boolean"}:
                return received.lower() not in {"true", "false", "1", "0", "yes", "no", "on", "off", "t", "f", "y", "n"}
            case {"anyOf": [{"type": "number"}, *_]}:
                return self.forbids(schema, received) and self.forbids(schema, _number(received))
        return self.forbids(schema, received)

    def _validator(self, schema: Json) -> OAS31Validator:
        if id(schema) not in self.validators:
            whole = {**schema, "components": self.openapi["components"]}
            self.validators[id(schema)] = OAS31Validator(whole, format_checker=oas31_format_checker)
        return self.validators[id(schema)]


def _number(text: str) -> float | str:
    try:
        return float(Decimal(text))
    except (InvalidOperation, OverflowError, ValueError):
        return text


def _is_storable(value: Any) -> bool:
    waiting = [value]
    while waiting:  # without recursion, as deep as some values are
        match waiting.pop():
            case str(text) if re.search("[\0\ud800-\udfff]", text):
                return False
            case float(number) if not isfinite(number):
                return False
            case dict(pairs):
                waiting += [*pairs.keys(), *pairs.values()]
            case list(items):
                waiting += items
    return True
