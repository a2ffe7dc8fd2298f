"""Finding the route of a request: by its path, and without trying one route after the other.

A shop has some eighty routes, and FastAPI would try half of them for most requests, which takes longer than the route
of a product itself. Here a path leads to the few routes that begin alike and are as long, which FastAPI then tries. A
path that leads nowhere is left to all routes, so a refusal is what it would be otherwise.
"""

from collections.abc import Iterable

from fastapi import APIRouter, FastAPI, Request
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from api.web.framework_internals import endpoints, replace_router
from api.web.paths import path_of, without_trailing_slash
from api.web.problems import problem_response

HEAD_ONLY = "shop.head_only"
"""The key in a scope of a GET that was a HEAD."""

Place = tuple[str, str, int]
"""A method, the first part of a path, and how many parts there are."""


class Dispatch:
    """Serves a path with a trailing slash like the one without, without a redirect, and HEAD like GET.

    A method that a path does not have is refused, also where the path fits another path's template: `/users/me` is not
    the user with the id `me`, although to FastAPI `PUT /users/me` would be a `PUT /users/{id}`.
    """

    def __init__(self, everything: ASGIApp, routes: Iterable[APIRoute]) -> None:
        self._everything = everything
        self._methods: dict[str, set[str]] = {}
        found: dict[Place, list[BaseRoute]] = {}
        for route in routes:
            if "{" not in route.path:
                self._methods.setdefault(route.path, set()).update(route.methods or ())
            for method in route.methods or ():
                found.setdefault(_place(method, route.path), []).append(route)
        self._routers = {
            place: APIRouter(routes=routes, default=everything, redirect_slashes=False)
            for place, routes in found.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._everything(scope, receive, send)
            return
        scope["path"] = without_trailing_slash(scope)
        if scope["method"] == "HEAD":
            await self._head(scope, receive, send)
            return
        await self._serve(scope, receive, send)

    async def _head(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Its content is dropped by `FinishedAnswers`, which has the method, and is told the route."""
        as_get = {**scope, "method": "GET", HEAD_ONLY: True}
        try:
            await self._serve(as_get, receive, send)
        finally:
            scope.update({name: as_get[name] for name in ("route", "path_params") if name in as_get})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = path_of(scope)
        methods = self._methods.get(path)
        if methods is not None and scope["method"] not in methods:
            await other_method(Request(scope))(scope, receive, send)
            return
        router = self._routers.get(_place(scope["method"], path))
        await (router.app if router else self._everything)(scope, receive, send)


def is_head(request: Request) -> bool:
    """Whether a client asks only for the headers of what a GET would answer, so that nobody reads the content."""
    return HEAD_ONLY in request.scope


PREFETCH = {"Sec-Purpose": "prefetch"}
"""Header of a request for what nobody looks at now, if ever. Source: the Fetch standard, on `Sec-Purpose`."""


def shows_content(request: Request) -> bool:
    """Whether somebody sees what is answered: neither a HEAD nor a prefetch shows it."""
    return not is_head(request) and "prefetch" not in request.headers.get("Sec-Purpose", "")


def install_dispatch(app: FastAPI) -> None:
    """Have the app find its routes by their places, once all are there."""
    replace_router(app, lambda everything: Dispatch(everything, (r for r in app.routes if isinstance(r, APIRoute))))


def other_method(request: Request) -> Response:
    """Name all methods of a path; FastAPI names those of one route, and has one route per method."""
    every = list(endpoints(request.app, path_of(request.scope)))
    fitting = [each for each in every if each.matches]
    if not fitting:  # a file, which no endpoint of the API is
        return _allowed(request.method, {"GET"}, None)
    best = min((each.path for each in fitting), key=lambda path: (path.count("{"), -len(path)))
    methods = {method for each in fitting if each.path == best for method in each.methods}
    below = (each.path for each in every if each.path.startswith(f"{best}/") and request.method in each.methods)
    return _allowed(request.method, methods, next((f"{request.method} {path}" for path in below), None))


def _place(method: str, path: str) -> Place:
    parts = path.split("/")
    return method, parts[1] if len(parts) > 1 else "", len(parts)


def _allowed(method: str, methods: Iterable[str], elsewhere: str | None) -> Response:
    """RFC 9110, sections 9.3.7 and 15.5.6: say which methods there are, as an answer to OPTIONS and as a refusal."""
    implied = {"OPTIONS", "HEAD"} if "GET" in methods else {"OPTIONS"}
    allow = ", ".join(sorted({*methods, *implied}))
    if method == "OPTIONS":
        return Response(status_code=204, headers={"Allow": allow})
    hint = f" There is `{elsewhere}`." if elsewhere else ""
    return problem_response(405, f"This path allows only {allow}.{hint}", headers={"Allow": allow})
