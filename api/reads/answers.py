"""Answers as JSON: the fields of a Read class, taken from whatever a route returns, and written as they are.

FastAPI would validate each value of each row again, which the database guarantees already and which takes most of the
time of a list. Here a value is only written: pydantic writes times, amounts and enums like those of its own models. A
field that is not in the Read class is never written, and a relationship that was not loaded raises, as ever.
"""

from collections.abc import Callable, Sequence
from functools import cache
from operator import attrgetter
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter

_anything: TypeAdapter[Any] = TypeAdapter(Any)
"""Writes each value by its own type."""

Take = Callable[[Any], Any]
"""Makes dictionaries, lists and plain values of what a route returns."""


def json_of(answer: Any, model: Any) -> bytes:
    """An answer in JSON; `model` is the Read class, a list of one, or a union of pages of one."""
    take = _take(model)
    return _anything.dump_json(answer if take is None else take(answer))


def json_values_of(answer: Any, model: Any) -> Any:
    """The same as values that JSON has: what an answer would be to a client that has parsed it."""
    take = _take(model)
    return _anything.dump_python(answer if take is None else take(answer), mode="json")


@cache
def _take(model: Any) -> Take | None:
    """How a value of this type is taken apart; `None` where it is written as it is."""
    origin, arguments = get_origin(model), get_args(model)
    if origin is Annotated:
        return _take(arguments[0])
    if origin in (Union, UnionType):
        return _take_one_of([each for each in arguments if each is not NoneType])
    if origin in (list, Sequence):
        return _take_each(arguments[0])
    if isinstance(model, type) and issubclass(model, BaseModel):
        return _take_fields(model)
    return None


def _take_each(model: Any) -> Take | None:
    take = _take(model)
    return take and (lambda rows: [take(row) for row in rows])


def _take_one_of(models: list[Any]) -> Take | None:
    """Of a union: of several classes the one that the value is of, such as one kind of page; null stays null."""
    takes = {_class_of(each): _take(each) for each in models}
    if not any(takes.values()):
        return None
    only = next(iter(takes.values())) if len(takes) == 1 else None

    def take(value: Any) -> Any:
        if value is None:
            return None
        found = only or next(takes[each] for each in takes if isinstance(value, each))
        return found(value) if found else value

    return take


def _class_of(model: Any) -> type[Any]:
    """`Page` of `Page[ProductRead]`: routes fill pages with rows, which are no `ProductRead`s."""
    found: type[Any] = getattr(model, "__pydantic_generic_metadata__", {}).get("origin") or model
    return found


def _take_fields(model: type[BaseModel]) -> Take:
    names = tuple(model.model_fields)
    get: Callable[[Any], Any] = attrgetter(*names)  # of one name it gets the value alone, and not a tuple
    nested: list[tuple[str, Take]] | None = None

    def take(row: Any) -> dict[str, Any]:
        nonlocal nested
        if nested is None:  # only now, because a tree refers to itself
            fields: dict[str, Any] = {name: field.annotation for name, field in model.model_fields.items()}
            nested = [(name, each) for name, annotation in fields.items() if (each := _take(annotation))]
        values = get(row) if len(names) > 1 else (get(row),)
        taken = dict(zip(names, values, strict=True))
        for name, take_nested in nested:
            taken[name] = take_nested(taken[name])
        return taken

    return take
