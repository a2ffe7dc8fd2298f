"""The one place where this room leans on what FastAPI and Starlette do not promise, and the test that notices each.

- `iter_route_contexts`: FastAPI keeps included routers nested, and only this lists the routes with their full paths;
  it is public, but new and undocumented. `tests/web/test_methods.py`.
- The matched route in the scope, for its template: `tests/web/test_idempotency.py`.
- The English of Starlette's own refusals, which come as plain text: `tests/web/test_transport.py`.
- What a 400 of FastAPI was caused by: `tests/web/test_error_handlers.py`.
"""

from collections.abc import Iterator
from typing import NamedTuple

from fastapi import FastAPI, Request
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException


class Endpoint(NamedTuple):
    """The methods that one route has on its path template, such as `/users/{id}`."""

    path: str
    methods: frozenset[str]
    matches: bool
    """Whether the path that was asked for fits the template."""


def endpoints(app: FastAPI, path: str = "") -> Iterator[Endpoint]:
    """Every route of the app, held against a path."""
    for context in iter_route_contexts(app.routes):
        if context.methods and context.path_format:
            fits = bool(context.path_regex and context.path_regex.match(path))
            yield Endpoint(context.path_format, frozenset(context.methods), fits)


def path_template(request: Request) -> str:
    """The template of the route that a request is for."""
    return str(request.scope["route"].path_format)


STARLETTE_REFUSALS = {
    "Invalid host header": "The Host header is not an allowed host (see ALLOWED_HOSTS).",
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
