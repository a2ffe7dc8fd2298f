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
from api.web.problems import problem_response

Place = tuple[str, str, int]
"""A method, the first part of a path, and how many parts there are."""


class Dispatch:
    """Serves a path with a trailing slash like the one without, and without a redirect.

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
        scope["path"] = _without_trailing_slash(scope)
        path = _path_of(scope)
        methods = self._methods.get(path)
        if methods is not None and scope["method"] not in methods:
            await _refusal(methods)(scope, receive, send)
            return
        router = self._routers.get(_place(scope["method"], path))
        await (router.app if router else self._everything)(scope, receive, send)


def install_dispatch(app: FastAPI) -> None:
    """Have the app find its routes by their places, once all are there."""
    replace_router(app, lambda everything: Dispatch(everything, (r for r in app.routes if isinstance(r, APIRoute))))


def refuse_method(request: Request) -> Response:
    """Name all methods of a path; FastAPI names those of one route, and has one route per method."""
    fitting = [each for each in endpoints(request.app, _path_of(request.scope)) if each.matches]
    best = min((each.path for each in fitting), key=lambda path: (path.count("{"), -len(path)))
    return _refusal({method for each in fitting if each.path == best for method in each.methods})


def _place(method: str, path: str) -> Place:
    parts = path.split("/")
    return method, parts[1] if len(parts) > 1 else "", len(parts)


def _without_trailing_slash(scope: Scope) -> str:
    path = str(scope["path"])
    if not path.endswith("/"):
        return path
    bare = path.rstrip("/")
    return f"{bare}/" if bare == scope.get("root_path", "").rstrip("/") else bare


def _path_of(scope: Scope) -> str:
    """The path as the routes have it, without the prefix that a proxy took off."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


def _refusal(methods: Iterable[str]) -> Response:
    """RFC 9110, section 15.5.6: the answer must name the methods that there are."""
    allow = ", ".join(sorted(methods))
    return problem_response(405, f"This path allows only {allow}.", headers={"Allow": allow})
