"""What a route is called with is what FastAPI would call it with, and its mistakes are those that FastAPI finds."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import solve_dependencies
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.responses import Response

from api import routers
from api.database.sessions import Database
from api.web import arguments
from api.web.arguments import Arguments, arguments_of
from api.web.framework_internals import ABSENT, _needs
from api.web.routing import TransactionRoute
from tests.web.support import app_with, new_router

ROUTES = [route for router in routers.all_routers() for route in router.routes if isinstance(route, APIRoute)]

FOR_FASTAPI = {
    "POST /auth/email": "a class as a dependency",
    "POST /auth/password": "a class as a dependency",
    "POST /auth/token": "a form",
    "GET /events/stream": "a header",
    "GET /exports/products": "it answers a stream of its own",
    "GET /exports/{entity}": "it answers a stream of its own",
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


def with_stubs(of: Dependant, calls: list[str], stubs: dict[Any, Callable[..., Any]]) -> Dependant:
    """The same tree, of functions that note their calls, and return what they are called with."""
    name = getattr(of.call, "__name__", type(of.call).__name__)

    async def stub(**arguments: Any) -> Any:
        calls.append(name)
        return name, arguments

    call = stubs.setdefault(of.call, stub)
    return replace(of, call=call, dependencies=[with_stubs(each, calls, stubs) for each in of.dependencies])


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


async def by_the_shop(tree: Dependant, route: APIRoute, request: Request, body: Any, patch: pytest.MonkeyPatch) -> Any:
    needs = _needs(tree, route)
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
    async def test_its_calls_arguments_and_errors_are_those_of_fastapi(
        self, route: APIRoute, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls: list[str] = []
        tree = with_stubs(route.dependant, calls, {})
        paths = PATHS.values() if route.param_convertors else ["7"]
        for path_value, query, body in product(paths, QUERIES, BODIES if route.body_field else [ABSENT]):
            request = a_request(route, path_value, query)
            expected = shown(await by_fastapi(tree, request, body, route._embed_body_fields)), calls.copy()
            calls.clear()
            found = shown(await by_the_shop(tree, route, request, body, monkeypatch)), calls.copy()
            calls.clear()
            assert found == expected


SENT_AS = [
    None,
    "",
    "application/json",
    "APPLICATION/JSON; charset=latin-1",
    "application/problem+json",
    "text/json",
    "text/plain",
    "application/x-www-form-urlencoded",
    "json",
    ";;",
]

CONTENTS = [
    b"",
    b"{}",
    b'{"name": "Tea"}',
    b"[1",
    b"nul",
    b"NaN",
    b"\xef\xbb\xbf{}",
    b"\xff",
    b"9" * 5_000,
    b"[" * 100_000,
]


class TestBody:
    @pytest.mark.parametrize("sent_as", SENT_AS)
    @pytest.mark.parametrize("content", CONTENTS, ids=lambda content: str(content[:20]))
    async def test_a_body_is_read_as_fastapi_reads_it(
        self, database: Database, sent_as: str | None, content: bytes
    ) -> None:
        async def take(data: dict[str, Any]) -> dict[str, Any]:
            return {"got": data}

        ours, theirs = new_router(), new_router()
        ours.add_api_route("/take", take, methods=["POST"])
        theirs.add_api_route("/take", take, methods=["POST"])
        assert all(arguments_of(route) for route in ours.routes if isinstance(route, APIRoute))
        headers = {} if sent_as is None else {"Content-Type": sent_as}
        answers = []
        for router, included in ((ours, False), (theirs, True)):
            async with app_with(database, router, included=included) as client:
                answer = await client.post("/take", content=content, headers=headers)
                answers.append((answer.status_code, {**answer.json(), "request_id": None}))
        assert answers[0] == answers[1]


class TestLeftToFastAPI:
    """What a route or its router asks of FastAPI is done by FastAPI, and never left out."""

    async def test_a_guard_of_a_router_that_includes_another_one_guards_it(self, database: Database) -> None:
        async def refuse() -> None:
            raise HTTPException(403)

        async def read() -> list[int]:
            return [1]

        router, outer = new_router(), APIRouter(dependencies=[Depends(refuse)])
        router.add_api_route("/read", read)
        outer.include_router(router)
        async with app_with(database, router) as client:
            assert (await client.get("/read")).json() == [1]
        async with app_with(database, outer, included=True) as client:
            assert (await client.get("/read")).status_code == 403

    @pytest.mark.parametrize(
        "options", [{"max_body_size": 10}, {"strict_content_type": False}, {"response_model": None}], ids=str
    )
    def test_a_route_with_rules_of_its_own_is_left_to_it(self, options: dict[str, Any]) -> None:
        async def take(data: dict[str, Any]) -> dict[str, Any]:
            return data

        router = APIRouter(route_class=TransactionRoute, strict_content_type=options.pop("strict_content_type", True))
        router.add_api_route("/take", take, methods=["POST"], **options)
        (route,) = router.routes
        assert isinstance(route, APIRoute)
        assert arguments_of(route) is None

    async def test_an_answer_without_content_keeps_its_own_headers(self, database: Database) -> None:
        async def plain() -> None: ...

        async def with_header() -> Response:
            return Response(status_code=204, headers={"X-Left": "3"})

        router = new_router()
        router.add_api_route("/plain", plain, status_code=204)
        router.add_api_route("/with-header", with_header, status_code=204)
        async with app_with(database, router) as client:
            for path, left in (("/plain", None), ("/with-header", "3")):
                answer = await client.get(path)
                assert (answer.status_code, answer.content, answer.headers.get("X-Left")) == (204, b"", left)

    async def test_a_route_without_a_model_of_its_answer_answers_what_it_returns(self, database: Database) -> None:
        async def read() -> Any:
            return {"a": 1}

        router = new_router()
        router.add_api_route("/read", read, response_model=None)
        async with app_with(database, router) as client:
            assert (await client.get("/read")).json() == {"a": 1}
