"""Plain ASGI middleware; Starlette's `BaseHTTPMiddleware` would cost more than many a route."""

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import PROBLEM_JSON, problem_response


class TrailingSlash:
    """Serve a path with a trailing slash like the one without, and without a redirect."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].endswith("/"):
            path = scope["path"].rstrip("/")
            at_root = path == scope.get("root_path", "").rstrip("/")
            scope = {**scope, "path": f"{path}/" if at_root else path}
        await self.app(scope, receive, send)


class TooLargeProblem:
    """Say that a body is too large in the shape of all refusals: Starlette, which counts, says it in plain text."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        replaced = False

        async def replace(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                replaced = Headers(raw=message["headers"]).get("content-type") != PROBLEM_JSON
                if replaced:
                    problem = problem_response(message["status"], "The body is too large.")
                    await problem(scope, receive, send)
            if not replaced:
                await send(message)

        await self.app(scope, receive, replace)
