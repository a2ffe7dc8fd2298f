"""The one place where this room leans on what FastAPI does not promise: the routes of an app.

`tests/openapi/test_document.py` fails where an upgrade changes them.
"""

from collections.abc import Callable, Iterator
from inspect import signature
from typing import Any, NamedTuple

from fastapi import FastAPI
from fastapi.routing import APIRoute

from api.reads.rows import Read
from api.web.framework_internals import dependencies_of
from api.web.key_rules import KeyRules, key_rules_of
from api.web.preconditions import Preconditions


class DocumentedRoute(NamedTuple):
    """A route as its operations need it."""

    path: str
    methods: frozenset[str]
    """In lower case, as the document has them."""
    name: str
    summary: str | None
    dependencies: frozenset[Callable[..., Any]]
    """Every function that the route depends on, directly or not."""
    answers_read: bool
    """Whether the database is asked after the route has returned."""
    keys: KeyRules | None
    """How it deals with an `Idempotency-Key`; `None` where it only reads."""
    preconditions: Preconditions
    """How it deals with `If-Match` and `If-None-Match`."""


def documented_routes(app: FastAPI) -> Iterator[DocumentedRoute]:
    for route in app.routes:
        if isinstance(route, APIRoute):
            yield DocumentedRoute(
                path=route.path_format,
                methods=frozenset(method.lower() for method in route.methods or ()),
                name=route.name,
                summary=route.summary,
                dependencies=dependencies_of(route),
                answers_read=signature(route.endpoint).return_annotation is Read,
                keys=key_rules_of(route),
                preconditions=Preconditions(route),
            )
