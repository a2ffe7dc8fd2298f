"""Middleware as plain ASGI apps; Starlette's `BaseHTTPMiddleware` would cost more than many routes."""

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.web.framework_internals import STARLETTE_REFUSALS
from api.web.problems import problem_response


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
    if int(message["status"]) < HTTPStatus.BAD_REQUEST:
        return False
    return Headers(raw=message["headers"]).get("content-type", "").startswith("text/plain")


class SecurityHeaders:
    """Tell browsers not to guess what an answer is, and everybody not to keep copies of it.

    Follows OWASP's REST Security Cheat Sheet. A header that an answer sets itself, as those of /docs do, stands.
    """

    def __init__(self, app: ASGIApp, *, only_https: bool) -> None:
        self.app = app
        headers = {
            "Cache-Control": "no-store",
            "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
        }
        if only_https:
            headers["Strict-Transport-Security"] = "max-age=63072000"
        self.headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(each for each in self.headers if each[0] not in sent)]
            await send(message)

        await self.app(scope, receive, add)
