"""The cells of a CSV file: how a value becomes a text, and the same value again.

    null                      an empty cell
    an empty text             '
    a text such as =1+1       '=1+1, because a spreadsheet would run it ("CSV Injection", OWASP)
    a text such as x;=1+1     x;'=1+1, because one whose cells end at semicolons, as in Germany, would too
    true, false               true, false
    an amount, a time         as in the JSON of the API: 79.99, 2026-05-12T09:30:00Z
    an object, a list         its JSON

A text gets an apostrophe before it where it begins with = + - @, a tab or a line break, also behind apostrophes. So
taking one off such a text gives back the text, and other texts that begin with an apostrophe stay as they are. It gets
one likewise before = + - @ behind each semicolon, tab and line break within it, also within JSON: a spreadsheet whose
cells end there does not take quotation marks in the middle of its cells for any.
"""

import json
import re
from collections.abc import Callable
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
"""What a spreadsheet takes for a number, and for no formula."""

FORMULA = re.compile(r"'*([=+\-@\t\r\n]|\Z)")
UNESCAPED = re.compile(r"'+([=+\-@\t\r\n]|\Z)")

INNER_FORMULA = re.compile(r"(?<=[;\t\r\n])(?='*[=+\-@])")
INNER_UNESCAPED = re.compile(r"(?<=[;\t\r\n])'(?='*[=+\-@])")

INTEGER = re.compile(r"-?[0-9]{1,40}")
"""Python would refuse a text of thousands of digits; the limits of a field are far below."""

DECIMAL_COMMA = re.compile(r"-?[0-9]{1,3}([. '\u00a0\u202f]?[0-9]{3})*,[0-9]{1,2}")
GROUPED_INTEGER = re.compile(r"-?[0-9]{1,3}([., '\u00a0\u202f][0-9]{3})+")
THOUSANDS = re.compile(r"-?[0-9]{1,3}([, '\u00a0\u202f][0-9]{3})+(\.[0-9]+)?")


_anything: TypeAdapter[Any] = TypeAdapter(Any)


def json_value(value: Any) -> Any:
    """A value of Python as JSON has it."""
    return _anything.dump_python(value, mode="json")


def cell_of(value: Any) -> str:
    """The cell of a value of JSON."""
    match value:
        case None:
            return ""
        case str():
            begin = "'" if FORMULA.match(value) and not NUMBER.fullmatch(value) else ""
            return begin + INNER_FORMULA.sub("'", value)
    return INNER_FORMULA.sub("'", json.dumps(value, ensure_ascii=False))


def unescaped(cell: str) -> str:
    """The text that a cell stands for."""
    return INNER_UNESCAPED.sub("", cell[1:] if UNESCAPED.match(cell) else cell)


def reader_of(field: FieldInfo) -> Callable[[str], Any]:
    """What makes a value of JSON of a cell that is not empty, as the type of its field asks for.

    What is no such value is left to the field's own validation, which says so as it does to the API.
    """
    kind = _plain_type(field.annotation)
    if kind is bool:
        return lambda cell: {"true": True, "false": False}.get(cell.strip().lower(), cell)
    if kind is int:
        return _integer
    if kind in (dict, list):
        return lambda cell: read_json(unescaped(cell))
    if kind is not str and isinstance(kind, type) and kind.__name__ == "Decimal":
        return _decimal
    return unescaped


def is_nullable(field: FieldInfo) -> bool:
    return type(None) in get_args(field.annotation)


def _plain_type(annotation: Any) -> Any:
    """`str` of `Annotated[str, ...] | None`, and `dict` of `dict[str, JsonValue]`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _plain_type(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return _plain_type(next(each for each in get_args(annotation) if each is not type(None)))
    return origin or annotation


def _integer(cell: str) -> Any:
    text = cell.strip()
    if GROUPED_INTEGER.fullmatch(text):
        raise ValueError("must be written without separators between the thousands, such as 1000")
    return int(text) if INTEGER.fullmatch(text) else text


def _decimal(cell: str) -> str:
    text = cell.strip()
    if DECIMAL_COMMA.fullmatch(text):
        raise ValueError("must be written with a decimal point, such as 79.99, and not with a comma")
    if THOUSANDS.fullmatch(text):
        raise ValueError("must be written without separators between the thousands, such as 1000.00")
    return text


def read_json(text: str) -> Any:
    """A value of JSON, strictly: a name that stands twice would lose a value.

    Raises:
        ValueError: It is not JSON.
    """
    try:
        return json.loads(
            text, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant, parse_int=_whole_number
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"is not valid JSON: {error.msg.lower()}, at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("is not valid JSON: it is nested too deeply") from None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("is not valid JSON: an object has the same name twice")
    return found


def _whole_number(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:  # Python's own words for it name a switch of the interpreter
        raise ValueError("is not valid JSON: a number has too many digits") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"is not valid JSON: {name} is no number")
