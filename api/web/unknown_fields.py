"""What a request is told about a field that it must not have: where to change that instead, or the nearest field."""

from collections.abc import Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from fastapi import Request
from pydantic import BaseModel

from api.models.base import Schema
from api.web.framework_internals import body_of
from api.web.wrong_names import suggestion


def why_unknown(request: Request, place: Sequence[str | int]) -> str:
    """The reason for refusing a field; `place` is where it stands in the body, its own name last."""
    *steps, name = place
    model = _model_at(body_of(request), steps)
    if model is None:
        return "is not a field of this request"
    if issubclass(model, Schema) and (instead := model.elsewhere_of(str(name))):
        return f"cannot be written here: {instead}"
    return f"is not a field of this request: {suggestion(str(name), model.model_fields)}"


def _model_at(annotation: Any, steps: Sequence[str | int]) -> type[BaseModel] | None:
    """The class of the object that these steps lead to; `None` where an object may hold any field."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _model_at(arguments[0], steps)
    if origin in (Union, UnionType):
        found = (_model_at(each, steps) for each in arguments)
        return next(filter(None, found), None)
    if origin is list and steps and isinstance(steps[0], int):
        return _model_at(arguments[0], steps[1:])
    if not isinstance(annotation, type) or not issubclass(annotation, BaseModel):
        return None
    if not steps:
        return annotation
    field = annotation.model_fields.get(str(steps[0]))
    return None if field is None else _model_at(field.annotation, steps[1:])
