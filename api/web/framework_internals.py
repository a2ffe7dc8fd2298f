"""The one place where this room leans on what FastAPI and Starlette do not promise, and the test that notices each.

- `middleware_stack` of the app's router is what the middleware leads to: `tests/web/test_dispatch.py`.
- The matched route in the scope, for its template: `tests/web/test_idempotency.py`.
- The English of Starlette's own refusals, which come as plain text: `tests/web/test_transport.py`.
- What a 400 of FastAPI was caused by: `tests/web/test_error_handlers.py`.
- What type of body a route reads, and whether that is a form: `tests/web/test_refused_fields.py`.
- The flat list of what a route and its dependencies read from a query: `tests/web/test_queries.py`.
- A `Dependant`, the tree of what a route depends on: `tests/web/test_key_rules.py`, `tests/openapi/test_document.py`.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from fastapi import FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Cookie, Form, Header, Path
from fastapi.routing import APIRoute
from pydantic.fields import FieldInfo
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import ASGIApp


class Endpoint(NamedTuple):
    """The methods that one route has on its path template, such as `/users/{id}`."""

    path: str
    methods: frozenset[str]
    matches: bool
    """Whether the path that was asked for fits the template."""


def endpoints(app: FastAPI, path: str = "") -> Iterator[Endpoint]:
    """Every route of the app, held against a path."""
    for route in app.routes:
        if isinstance(route, Route) and route.methods:
            yield Endpoint(route.path_format, frozenset(route.methods), bool(route.path_regex.match(path)))


def replace_router(app: FastAPI, by: Callable[[ASGIApp], Any]) -> None:
    """Put something before the app's router, behind all middleware."""
    app.router.middleware_stack = by(app.router.app)


def dependencies_of(route: APIRoute) -> frozenset[Callable[..., Any]]:
    """Every function that a route depends on, directly or not."""
    return frozenset(_dependencies(route.dependant))


def _dependencies(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    if dependant.call is not None:
        yield dependant.call
    for each in dependant.dependencies:
        yield from _dependencies(each)


def path_template(request: Request) -> str:
    """The template of the route that a request is for."""
    return str(request.scope["route"].path_format)


def query_fields(route: APIRoute) -> dict[str, FieldInfo]:
    """The query parameters of a route and of all that it depends on, by their names in the URL.

    A field of a model of the query has no kind of its own; those of paths, headers and cookies have one.
    """
    fields = get_flat_params(route.dependant)
    return {each.alias: each.field_info for each in fields if not isinstance(each.field_info, Path | Header | Cookie)}


def body_of(request: Request) -> Any:
    """The type of the body that the route of a request reads; `None` where it reads none."""
    field = getattr(request.scope.get("route"), "body_field", None)
    return None if field is None else field.field_info.annotation


def reads_form(request: Request) -> bool:
    """Whether the route of a request reads a form, and not JSON."""
    field = getattr(request.scope.get("route"), "body_field", None)
    return field is not None and isinstance(field.field_info, Form)


STARLETTE_REFUSALS = {
    "Content Too Large": "The body is too large.",
}
"""What Starlette's middleware says in plain text, and what the shop says instead."""

UNREADABLE_BODY: dict[type, str] = {
    UnicodeDecodeError: "The body is not encoded as UTF-8.",
    RecursionError: "The body is nested too deeply.",
    ValueError: "The body contains a number with too many digits.",
}


def why_body_is_unreadable(error: HTTPException) -> str | None:
    """The reason for FastAPI's 400, which only says that there was an error parsing the body."""
    return UNREADABLE_BODY.get(type(error.__cause__))
