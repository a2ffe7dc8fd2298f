"""The one place where this room leans on what FastAPI does not promise.

`iter_route_contexts` lists included routers' routes, and a `Dependant` is the tree of what a route depends on; both are
undocumented. `tests/openapi/test_document.py` fails where an upgrade changes them.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts


class DocumentedRoute(NamedTuple):
    """A route as its operations need it."""

    path: str
    methods: frozenset[str]
    """In lower case, as the document has them."""
    name: str
    summary: str | None
    dependencies: frozenset[Callable[..., Any]]
    """Every function that the route depends on, directly or not."""


def documented_routes(app: FastAPI) -> Iterator[DocumentedRoute]:
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, APIRoute) and context.path_format:
            yield DocumentedRoute(
                path=context.path_format,
                methods=frozenset(method.lower() for method in context.methods or ()),
                name=context.name or "",
                summary=context.summary,
                dependencies=frozenset(_dependencies(context.dependant)),
            )


def _dependencies(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    if dependant.call is not None:
        yield dependant.call
    for each in dependant.dependencies:
        yield from _dependencies(each)
