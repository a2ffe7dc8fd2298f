"""Which methods a path has, for those who send it another one."""

from collections.abc import Callable, Iterable

from fastapi import FastAPI, Request
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import problem_response


class Methods:
    """Refuse a method that a path does not have, also where another path's template would take it for its own.

    `/users/me` is not the user whose id is `me`: to FastAPI, `PUT /users/me` would be a `PUT /users/{id}`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.literal: dict[str, set[str]] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if self.literal is None:  # only now all routes are there
                self.literal = _methods_by_path(scope["app"], lambda path: "{" not in path)
            methods = self.literal.get(_path_of(scope))
            if methods is not None and scope["method"] not in methods:
                await _refusal(methods)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def install_method_errors(app: FastAPI) -> None:
    """Name all methods of a path; FastAPI names those of one route, and has a route per method."""
    app.add_exception_handler(405, _on_another_method)  # type: ignore[arg-type]


async def _on_another_method(request: Request, error: HTTPException) -> Response:
    fitting = {
        context.path_format
        for context in iter_route_contexts(request.app.routes)
        if context.path_format and context.path_regex and context.path_regex.match(_path_of(request.scope))
    }
    most_particular = min(fitting, key=lambda path: (path.count("{"), -len(path)))
    return _refusal(_methods_by_path(request.app, most_particular.__eq__)[most_particular])


def _methods_by_path(app: FastAPI, wanted: Callable[[str], bool]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for context in iter_route_contexts(app.routes):
        if context.methods and context.path_format and wanted(context.path_format):
            found.setdefault(context.path_format, set()).update(context.methods)
    return found


def _path_of(scope: Scope) -> str:
    """As the routes have it, without the prefix that a proxy took off."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


def _refusal(methods: Iterable[str]) -> Response:
    """RFC 9110, section 15.5.6: the answer must say which methods there are."""
    allow = ", ".join(sorted(methods))
    return problem_response(405, f"This path has no such method, only {allow}.", headers={"Allow": allow})
