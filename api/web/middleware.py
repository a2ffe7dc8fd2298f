"""Middleware as plain ASGI apps; Starlette's `BaseHTTPMiddleware` would cost more than many routes."""

from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.web.framework_internals import STARLETTE_REFUSALS
from api.web.problems import problem_response


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


class PlainTextProblem:
    """Turn the refusals of Starlette's middleware, which come as plain text, into problems."""

    KEPT_HEADERS = ("access-control-", "vary", "allow")
    """How the headers of such a refusal begin that are sent with the problem too."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started: Message | None = None

        async def replace(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start" and _is_plain_refusal(message):
                started = message
            elif started is None:
                await send(message)
            elif not message.get("more_body"):
                await self._problem(started, message["body"].decode())(scope, receive, send)

        await self.app(scope, receive, replace)

    def _problem(self, started: Message, text: str) -> Response:
        headers = Headers(raw=started["headers"]).items()
        kept = {name: value for name, value in headers if name.startswith(self.KEPT_HEADERS)}
        return problem_response(started["status"], STARLETTE_REFUSALS.get(text, f"{text}."), headers=kept)


def _is_plain_refusal(message: Message) -> bool:
    content_type = Headers(raw=message["headers"]).get("content-type", "")
    return int(message["status"]) >= HTTPStatus.BAD_REQUEST and content_type.startswith("text/plain")


class SecurityHeaders:
    """Tell browsers not to guess what an answer is, and everybody not to keep copies of it.

    Follows OWASP's REST Security Cheat Sheet. A header that an answer sets itself, as those of /docs do, stands.
    """

    def __init__(self, app: ASGIApp, *, only_https: bool) -> None:
        self.app = app
        self.headers = {
            "Cache-Control": "no-store",
            "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
        }
        if only_https:
            self.headers["Strict-Transport-Security"] = "max-age=63072000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, add)
