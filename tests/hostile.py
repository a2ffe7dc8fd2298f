"""Hostile requests, made from the OpenAPI document: every place of every operation, and what is sent there.

A JSON value is kept as it is written, because much of what is hostile is nothing that Python would write: `NaN`,
`1e400`, one half of a surrogate pair.
"""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from functools import cached_property
from math import isfinite
from typing import Any

from openapi_schema_validator import OAS31Validator, oas31_format_checker

Json = dict[str, Any]

SECRET = "Sesame0penSesame"
"""Stands in passwords and tokens; no answer may hold it."""

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"

DIGITS = "9" * 4_000
LONG = "x" * 50_000
LARGE_INTEGERS = ["2147483648", "9223372036854775808", "-9223372036854775809", DIGITS]
"""Beyond 32 bits, beyond 64, and beyond all. `-` and digits alone, so they are the same in JSON and in a URL."""

ANYTHING = ["null", "true", "0", "-1.5", '""', '"x"', "[]", "{}", "[null]", '{"": null}', "NaN", "-Infinity", "1e400"]
DEEP = ["[" * 500 + "]" * 500, '{"a":' * 500 + "1" + "}" * 500]

TEXTS = [
    *('" "', '"\\t\\n"', '"\\u0000"', '"a\\u0000b"', '"\\ud800"', '"a\\udc00"', '"\\udc00\\ud800"', '"\\ud83d\\udca5"'),
    *(f'"{LONG}"', '"%"', '"_"', '"\\\\"', '"\'; DROP TABLE users; --"', '"\\u202e\\u200b\\ufeff"', '"\\uffff"'),
    *('"\u0130\u1e9e\ufb01"', '"{0}${a}%s"', '"<script>"', '"../.."', DIGITS),
    *('"a@b"', '"a@localhost"', '"a\\u0000@example.com"', '"@@@"', '"null"', '"1"', '"-"', '"a--b"'),
]
NUMBERS = [
    *LARGE_INTEGERS,
    *("-1", "1.0", "1.5", "1e2", "1e308", "-1e400", "-1e99999999", "1e-400", "Infinity", "0.001", f"-{DIGITS}"),
    *('"1"', '"-1"', '" 1 "', '"1_000"', '"\u0661"', '"0x10"', '"1e2"', '"\\u0000"', '"\\ud800"', '"Infinity"'),
]
AMOUNTS = [
    *("0.00", "79.999", "79.9900000000000001", "9999999999.99", "10000000000", "0.005", "1e-99999999"),
    *(f'"{text}"' for text in ("inf", "-inf", "NaN", "sNaN", "1e400", "-1e99999999", "1e-99999999", "0.001", "-0")),
    *(
        f'"{text}"'
        for text in ("0", "0.00", "+1", "1.", ".5", "9999999999.99", "9999999999.999", "10000000000", DIGITS)
    ),
]
SECRETS = [
    f'"{SECRET}\\u0000"',
    f'"\\ud800{SECRET}"',
    f'"{SECRET * 10}"',
    f'["{SECRET}"]',
    f'{{"{SECRET}": "{SECRET}"}}',
]
"""Passwords that must be refused, and not be repeated."""

MOMENTS = [
    *('"2026-01-01T00:00:00"', '"2026-01-01"', '"0001-01-01T00:00:00+14:00"', '"9999-12-31T23:59:59-14:00"'),
    *('"10000-01-01T00:00:00Z"', '"infinity"', '"now"', '"2026-02-30T00:00:00Z"', "253402300800", "-62135596801"),
]
OBJECTS = [
    *('{"a": NaN}', '{"a": [1e400]}', '{"a": "\\u0000"}', '{"a\\u0000": 1}', '{"a": ["\\ud800"]}', '{"\\udfff": 1}'),
    *(f'{{"a": {DIGITS}}}', '{"a": 1e308}', '{"a": 1, "a": 2}', '{"__proto__": {"a": 1}}', f'{{"{LONG}": 1}}'),
    *('{"a": ' * 21 + "1" + "}" * 21, '{"a": {"": {" ": [true, null, -0.0, 1e-400]}}}', '{"$ref": "#/x", "%s": "{}"}'),
]

URL_TEXTS = [
    *("", " ", "\0", "a\0b", "\ud800", "a\udfffb", "\ufffd", "%", "_", "\\", "'", '"', "'; DROP TABLE users; --"),
    *("x" * 301, LONG, "\U0001f4a5" * 100, "\u0130" * 100, "\r\n", "[]", "{}", "null", "a;b", "a&b=c", "#", "+"),
]
URL_NUMBERS = [
    *LARGE_INTEGERS,
    *("0", "-1", "1.5", "1e400", "-1e99999999", "0.001", "NaN", "-Infinity", "true", f"-{DIGITS}"),
    *("", "\0", "1\0", "\ud800", "9999999999.999", "10000000000", "\u0661\u0662"),
]
URL_CHOICES = [
    "",
    " ",
    "true\0",
    "2",
    "maybe",
    "\ud800",
    "-1",
    "null",
    "TRUE",
    "id; DROP TABLE users",
    "hashed_password",
]

HEADERS = [
    b"",
    b" ",
    b"a b",
    b"\xff\xfe",
    b"a\x00b",
    b"\xed\xa0\x80",
    b"x" * 256,
    b"x" * 60_000,
    "\u0661".encode(),
    b"\t",
]

NO_TOKENS = [
    *(b"", b"Bearer", b"Bearer \xff\x00", b"Bearer a b", b"Bearer " + DIGITS.encode(), b"bearer " + SECRET.encode()),
    *(b"Basic " + SECRET.encode(), SECRET.encode(), b"Bearer \xed\xa0\x80" + SECRET.encode() * 4_000),
    b"Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiI5OTk5OTk5OTk5OTk5OTk5OTk5OTk5In0.",
]

_QUERIES = [
    *(b"%", b"%zz=%zz", b"page=%2", b"%00", b"a=%00", b"%ED%A0%80=%ED%A0%80", b"%FF=%FF", b"page[a]=1", b"page[]=1"),
    *(b"&&&", b"=", b"==&=", b"?", b";", b"#", b"nothing=1", b"+" * 1_000, b"a=" + LONG.encode(), b"search=%FF&q=%FF"),
    *(b"a%d=1" % number for number in range(1_000)),
]
QUERIES = [b"&".join(_QUERIES), b"\xff=\xfe&search=\xed\xa0\x80&q=\x00", b"page=1&page=2&page_size=1&page_size=1"]


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
        return "security" in self.spec

    @property
    def takes_anyone(self) -> bool:
        return {} in self.spec.get("security", [{}])

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
        """The body without this place."""
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
    """A body with JSON texts in places of it, as they are written."""
    changed = json.loads(json.dumps(body))
    for number, place in enumerate(texts):
        place.mark(changed, f"\0{number}\0")
    parts = json.dumps(changed)
    for number, text in enumerate(texts.values()):
        parts = parts.replace(f'"\\u0000{number}\\u0000"', text)
    return parts.encode()


class Document:
    """The OpenAPI document, and what it says of values."""

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
        """A value that is all right."""
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
        raise AssertionError(f"no example in {schema}")

    def places(self, schema: Json, *steps: str | int) -> Iterator[Place]:
        """Every field within a body, lists and what is in them included."""
        schema = self.resolved(schema)
        for name, each in schema.get("properties", {}).items():
            yield Place((*steps, name), each, name in schema.get("required", []))
            yield from self.places(each, *steps, name)
        if "items" in schema:
            yield Place((*steps, 0), schema["items"])
            yield from self.places(schema["items"], *steps, 0)

    def hostile(self, schema: Json) -> Iterator[tuple[str, Any]]:
        """What to send in a place of a body, as JSON is written, and what Python makes of it."""
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
        """Whether a value must be refused: no database could keep it, or its schema says so, white space dropped."""
        if not _is_storable(value):
            return True
        candidates = [value, value.strip()] if isinstance(value, str) else [value]
        return not any(self._validator(schema).is_valid(each) for each in candidates)

    def forbids_text(self, schema: Json, text: str) -> bool:
        """Likewise of a text in a URL or a form, which stands for a number or a truth value where its schema wants one.

        What may or may not stand for one, such as `1_000` or `1.0`, is let pass.
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


def hostile_cursors() -> list[str]:
    """Of the form that lists give out, with what they would never put in, and some that are of no form."""
    values = ["NaN", "1e400", "9223372036854775808", DIGITS, '"\\u0000"', '"\\ud800"', "[]", "true"]
    rows = [f'["{sort}", {each}, null]' for sort in ("-id", "id") for each in [*values, "0", '"1"']]
    rows += [f'["name", 1, {each}]' for each in [*values, "null"]]
    rows += [f'["stock_quantity", 1, {each}]' for each in [*values, "null", '"inf"', f'"{DIGITS}"', '"1e400"']]
    rows += ["[" * 1_000, "{}", "[]", "1", "\udcff"]
    return [base64.urlsafe_b64encode(each.encode("utf-8", "surrogateescape")).decode().rstrip("=") for each in rows]


def hostile_bodies(example: Any) -> list[bytes]:
    """Whole bodies that can be no JSON object or array that is wanted, whatever that is."""
    valid = json.dumps(example).encode()
    return [
        *(b"", b" ", b"null", b"true", b'"x"', b"NaN", b"-Infinity", b"1e400", b"[NaN]", b"\x00", b"{}{}", b"{'a': 1}"),
        *(b'{"a": "\n"}', valid[:-1], valid + b"x", b"\xff" + valid, b'{"\xed\xa0\x80": 1}', b"\xff\xfe", b"\x1f\x8b"),
        *(b"[" * 100_000, b'{"a":' * 100_000, b"[" * 5_000 + b"]" * 5_000, b"9" * 5_000, DIGITS.encode(), b"a=1&b=2"),
        valid.decode().encode("utf-16")[:-1],
    ]


def hostile_keys(example: Any) -> list[bytes]:
    """The example with one more field, of a name that nothing has."""
    names = ["nothing", "\\u0000", "\\ud800", "a\\udfffb", "id", "hashed_password", "__class__", "", LONG]
    written = json.dumps(example[0] if isinstance(example, list) else example)
    bodies = [f'{written[:-1]}, "{name}": 1}}' for name in names]
    return [(f"[{each}]" if isinstance(example, list) else each).encode() for each in bodies]
