"""What a route is called with is what FastAPI would call it with, and its mistakes are those that FastAPI finds."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest
from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import solve_dependencies
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel

from api import routers
from api.web import arguments
from api.web.arguments import Arguments, arguments_of
from api.web.framework_internals import ABSENT, _needs

ROUTES = [route for router in routers.all_routers() for route in router.routes if isinstance(route, APIRoute)]

FOR_FASTAPI = {
    "POST /auth/email": "a class as a dependency",
    "POST /auth/password": "a class as a dependency",
    "POST /auth/token": "a form",
    "GET /events/stream": "a header",
    "GET /posts/by-slug/{slug}": "background tasks",
    "GET /posts/{id}": "background tasks",
    "POST /imports/categories": "a class as a dependency",
    "POST /imports/products": "a class as a dependency",
    "POST /imports/users": "a class as a dependency",
}
"""The routes whose arguments are left to FastAPI, and why."""

PATHS = {"a number": "7", "a word": "seven", "too small": "0", "too large": "9" * 30, "not trimmed": " a "}

QUERIES = [
    b"",
    b"page=2&page_size=3",
    b"page=0",
    b"cursor=&page_size=many",
    b"search=%00",
    b"min_price=1e3&in_stock=perhaps&sort=-price",
    b"new_status=shipped",
    b"new_status=eaten",
    b"days=9",
    b"q=tea&limit=5",
    b"unknown=1",
]

BODIES: list[Any] = [
    ABSENT,
    None,
    {},
    [],
    [{}],
    7,
    b"name=Tea",
    {"unknown": 1},
    {"name": "Tea", "sku": "TEA-1", "price": "1.50", "stock_quantity": 3},
    [{"name": "Tea", "sku": "TEA-1", "price": "1.505"}],
    {"items": [{"product_id": 1, "quantity": 2}, {"product_id": "x"}]},
    {"username": "ada", "email": "ada@example.com", "password": "Secret-123"},
    {"email": "ada@example.com"},
]


def shown(value: Any) -> str:
    """Values of all depths, with what was sent of each model, in the order of their names."""
    if isinstance(value, dict):
        return str({name: shown(value[name]) for name in sorted(value)})
    if isinstance(value, list | tuple):
        return str([shown(each) for each in value])
    return f"{value!r} {sorted(value.model_fields_set)}" if isinstance(value, BaseModel) else repr(value)


def name_of(route: APIRoute) -> str:
    return f"{min(route.methods or ())} {route.path}"


def called(name: str | None) -> Callable[..., Any]:
    async def call(**arguments: Any) -> Any:
        return name, arguments

    return call


def with_stubs(of: Dependant, stubs: dict[Any, Callable[..., Any]]) -> Dependant:
    """The same tree, of functions that return what they are called with."""
    stub = stubs.setdefault(of.call, called(getattr(of.call, "__name__", None)))
    return replace(of, call=stub, dependencies=[with_stubs(each, stubs) for each in of.dependencies])


def a_request(route: APIRoute, path_value: str, query: bytes) -> Request:
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": query,
        "headers": [],
        "path_params": dict.fromkeys(route.param_convertors, path_value),
    }
    return Request(scope)


async def by_fastapi(tree: Dependant, request: Request, body: Any, embedded: bool) -> Any:
    async with AsyncExitStack() as stack:
        request.scope.update(fastapi_inner_astack=stack, fastapi_function_astack=stack)
        solved = await solve_dependencies(
            request=request, dependant=tree, body=body, async_exit_stack=stack, embed_body_fields=embedded
        )
    return solved.errors or solved.values


async def by_the_shop(tree: Dependant, request: Request, body: Any, embedded: bool, patch: pytest.MonkeyPatch) -> Any:
    needs = _needs(tree, is_embedded=embedded)
    assert needs is not None

    async def read(_: Request) -> Any:
        return body

    patch.setattr(arguments, "_json_of", read)
    try:
        return await Arguments(needs).of(request)
    except RequestValidationError as error:
        return error.errors()


class TestEveryRoute:
    @pytest.mark.parametrize("route", ROUTES, ids=name_of)
    def test_it_is_known_which_routes_are_left_to_fastapi(self, route: APIRoute) -> None:
        assert (arguments_of(route) is None) == (name_of(route) in FOR_FASTAPI)

    @pytest.mark.parametrize("route", [each for each in ROUTES if name_of(each) not in FOR_FASTAPI], ids=name_of)
    async def test_its_arguments_and_mistakes_are_those_of_fastapi(
        self, route: APIRoute, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tree = with_stubs(route.dependant, {})
        embedded = route._embed_body_fields
        paths = PATHS.values() if route.param_convertors else ["7"]
        for path_value in paths:
            for query in QUERIES:
                for body in BODIES if route.body_field else [ABSENT]:
                    request = a_request(route, path_value, query)
                    expected = await by_fastapi(tree, request, body, embedded)
                    found = await by_the_shop(tree, request, body, embedded, monkeypatch)
                    assert shown(found) == shown(expected)
