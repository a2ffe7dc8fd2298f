"""Hostile values: what to send in a place of a request, by the kind of value that the place takes.

A JSON value is kept as it is written, because Python would not write much of what is hostile: `NaN`, `1e400`, a lone
surrogate.
"""

import base64
import json
from typing import Any

SECRET = "Sesame0penSesame"
"""Part of passwords and tokens; no answer may hold it."""

DIGITS = "9" * 4_000
LONG = "x" * 50_000
LARGE_INTEGERS = ["2147483648", "9223372036854775808", "-9223372036854775809", DIGITS]
"""Beyond 32 bits, beyond 64 bits, and beyond all. They are written alike in JSON and in a URL."""

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
"""Passwords that must be refused. No answer may repeat them."""

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


def hostile_cursors() -> list[str]:
    """Cursors in the form that lists give out, with values that no list would write; and texts that are no cursor."""
    values = ["NaN", "1e400", "9223372036854775808", DIGITS, '"\\u0000"', '"\\ud800"', "[]", "true"]
    rows = [f'["{sort}", {each}, null]' for sort in ("-id", "id") for each in [*values, "0", '"1"']]
    rows += [f'["name", 1, {each}]' for each in [*values, "null"]]
    rows += [f'["stock_quantity", 1, {each}]' for each in [*values, "null", '"inf"', f'"{DIGITS}"', '"1e400"']]
    rows += ["[" * 1_000, "{}", "[]", "1", "\udcff"]
    return [base64.urlsafe_b64encode(each.encode("utf-8", "surrogateescape")).decode().rstrip("=") for each in rows]


def hostile_bodies(example: Any) -> list[bytes]:
    """Whole bodies that no operation can take, made from a body that one takes."""
    valid = json.dumps(example).encode()
    return [
        *(b"", b" ", b"null", b"true", b'"x"', b"NaN", b"-Infinity", b"1e400", b"[NaN]", b"\x00", b"{}{}", b"{'a': 1}"),
        *(b'{"a": "\n"}', valid[:-1], valid + b"x", b"\xff" + valid, b'{"\xed\xa0\x80": 1}', b"\xff\xfe", b"\x1f\x8b"),
        *(b"[" * 100_000, b'{"a":' * 100_000, b"[" * 5_000 + b"]" * 5_000, b"9" * 5_000, DIGITS.encode(), b"a=1&b=2"),
        valid.decode().encode("utf-16")[:-1],
    ]


def hostile_keys(example: Any) -> list[bytes]:
    """The example with one more field. No schema has a field of that name."""
    names = ["nothing", "\\u0000", "\\ud800", "a\\udfffb", "id", "hashed_password", "__class__", "", LONG]
    written = json.dumps(example[0] if isinstance(example, list) else example)
    bodies = [f'{written[:-1]}, "{name}": 1}}' for name in names]
    return [(f"[{each}]" if isinstance(example, list) else each).encode() for each in bodies]
