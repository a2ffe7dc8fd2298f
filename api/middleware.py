"""Plain ASGI middleware; Starlette's `BaseHTTPMiddleware` would cost more than many a route."""

from starlette.types import ASGIApp, Receive, Scope, Send


class TrailingSlash:
    """Serve a path with a trailing slash like the one without, and without a redirect."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != "/" and scope["path"].endswith("/"):
            scope = {**scope, "path": scope["path"].rstrip("/") or "/"}
        await self.app(scope, receive, send)
