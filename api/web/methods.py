"""The methods of each path, to refuse others."""

from collections.abc import Iterable

from fastapi import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.web.framework_internals import endpoints
from api.web.problems import problem_response


class Methods:
    """Refuse a method that a path does not have, also where the path fits another path's template.

    `/users/me` is not the user with the id `me`: to FastAPI, `PUT /users/me` would be a `PUT /users/{id}`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.literal: dict[str, set[str]] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if self.literal is None:  # all routes are there by the first request
                self.literal = {}
                for each in endpoints(scope["app"]):
                    if "{" not in each.path:
                        self.literal.setdefault(each.path, set()).update(each.methods)
            methods = self.literal.get(_path_of(scope))
            if methods is not None and scope["method"] not in methods:
                await _refusal(methods)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def refuse_method(request: Request) -> Response:
    """Name all methods of a path; FastAPI names those of one route, and has one route per method."""
    fitting = [each for each in endpoints(request.app, _path_of(request.scope)) if each.matches]
    best = min((each.path for each in fitting), key=lambda path: (path.count("{"), -len(path)))
    return _refusal({method for each in fitting if each.path == best for method in each.methods})


def _path_of(scope: Scope) -> str:
    """The path as the routes have it, without the prefix that a proxy took off."""
    return str(scope["path"]).removeprefix(scope.get("root_path", ""))


def _refusal(methods: Iterable[str]) -> Response:
    """RFC 9110, section 15.5.6: the answer must name the methods that there are."""
    allow = ", ".join(sorted(methods))
    return problem_response(405, f"This path allows only {allow}.", headers={"Allow": allow})
