"""The one place where this room leans on what FastAPI does not promise.

A `Dependant` is the tree of what a route depends on; it is undocumented. `tests/openapi/test_document.py` fails where
an upgrade changes it.
"""

from collections.abc import Callable, Iterator
from inspect import signature
from typing import Any, NamedTuple

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from api.reads.rows import Read


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


def documented_routes(app: FastAPI) -> Iterator[DocumentedRoute]:
    for route in app.routes:
        if isinstance(route, APIRoute):
            yield DocumentedRoute(
                path=route.path_format,
                methods=frozenset(method.lower() for method in route.methods or ()),
                name=route.name,
                summary=route.summary,
                dependencies=frozenset(_dependencies(route.dependant)),
                answers_read=signature(route.endpoint).return_annotation is Read,
            )


def _dependencies(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    if dependant.call is not None:
        yield dependant.call
    for each in dependant.dependencies:
        yield from _dependencies(each)
