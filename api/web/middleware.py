"""Middleware as plain ASGI apps; Starlette's `BaseHTTPMiddleware` would cost more than many routes."""

from http import HTTPStatus
from typing import Any

from starlette.datastructures import Headers
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api.web.framework_internals import STARLETTE_REFUSALS
from api.web.problems import problem_response
from api.web.request_ids import give_request_id
from api.web.watching import Watched

SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Tell browsers not to guess what an answer is, and everybody not to keep copies of it.

After OWASP's REST Security Cheat Sheet. A header that an answer sets itself, as those of /docs do, stands.
"""

ONLY_HTTPS = {"Strict-Transport-Security": "max-age=63072000"}


PAGE_OF_REFUSAL = "shop.page_of_refusal"
"""In the scope of a request for a page: what makes a page of a refusal of the middleware, by its status and words."""


class BodyLimit(RequestBodyLimitMiddleware):
    """Limits the bodies that somebody reads: nobody reads that of a GET."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET":
            await self.app(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


class ForwardedAddress(ProxyHeadersMiddleware):
    """Takes the client's address from a proxy. One that connects by a Unix socket is on this computer."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["client"] is None:
            scope["client"] = ("127.0.0.1", 0)
        await super().__call__(scope, receive, send)


class FinishedAnswers:
    """Gives every answer the security headers and the id of its request, and drops the content of an answer to HEAD
    (RFC 9110, section 9.3.2).

    The refusals of Starlette's middleware, which come as plain text, become problems first. All is done by one
    middleware, because each costs what a fifth of a statement costs.
    """

    KEPT_HEADERS = ("access-control-", "vary", "allow")
    """How the headers of a plain refusal begin that are sent with the problem too."""

    def __init__(self, app: ASGIApp, *, only_https: bool) -> None:
        self.app = app
        headers = SECURITY_HEADERS | (ONLY_HTTPS if only_https else {})
        self.headers = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refusal: Message | None = None
        request_id = give_request_id(scope)
        watched = Watched(scope, request_id)

        async def finish(message: Message) -> None:
            nonlocal refusal
            if message["type"] == "http.response.start":
                if _is_plain_refusal(message):
                    refusal = message
                    return
                sent = {name for name, _ in message["headers"]}
                own = [each for each in self.headers if each[0] not in sent]
                message["headers"] = [*message["headers"], *own, (b"x-request-id", request_id.encode())]
            elif refusal is not None:
                if not message.get("more_body"):
                    started, refusal = refusal, None
                    await self._refusal(scope, started, message["body"].decode())(scope, receive, finish)
                return
            elif scope["method"] == "HEAD":
                message["body"] = b""
            watched.note(message)
            await send(message)

        failure: BaseException | None = None
        try:
            await self.app(scope, receive, finish)
        except BaseException as error:
            failure = error
            raise
        finally:
            watched.end(failure)

    def _refusal(self, scope: Scope, started: Message, text: str) -> Response:
        headers = Headers(raw=started["headers"]).items()
        kept = {name: value for name, value in headers if name.startswith(self.KEPT_HEADERS)}
        words = STARLETTE_REFUSALS.get(text, f"{text}.")
        if PAGE_OF_REFUSAL in scope:
            page: Response = scope[PAGE_OF_REFUSAL](started["status"], words)
            return page
        return problem_response(started["status"], words, headers=kept)


def _is_plain_refusal(message: Message) -> bool:
    if int(message["status"]) < HTTPStatus.BAD_REQUEST:
        return False
    return Headers(raw=message["headers"]).get("content-type", "").startswith("text/plain")
