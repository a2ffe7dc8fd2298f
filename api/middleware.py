"""Plain ASGI middleware; Starlette's `BaseHTTPMiddleware` would cost more than many a route."""

from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import problem_response


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


PLAIN = {
    HTTPStatus.BAD_REQUEST: "The Host header names a host that this shop does not go by; see ALLOWED_HOSTS.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large.",
}
"""What Starlette's middleware, which refuses hosts and counts bytes, says in plain text."""


class PlainTextProblem:
    """Say what other middleware refuses in the shape of all refusals."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        replaced = False

        async def replace(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and message["status"] in PLAIN:
                replaced = Headers(raw=message["headers"]).get("content-type", "").startswith("text/plain")
                if replaced:
                    problem = problem_response(message["status"], PLAIN[message["status"]])
                    await problem(scope, receive, send)
            if not replaced:
                await send(message)

        await self.app(scope, receive, replace)


class SecurityHeaders:
    """Tell browsers to take answers for nothing else than they are, and everybody to keep no copy of them.

    Follows OWASP's REST Security Cheat Sheet. What an answer says by itself, as those of /docs do, stands.
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
