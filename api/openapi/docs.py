"""The page at /docs: Swagger UI, served by the shop itself, so that it needs no internet and keeps a strict policy."""

from html import escape
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from api.web.assets import Assets, digest_of

ASSETS = Path(__file__).parent / "swagger-ui"

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",  # the arrows and locks in Swagger UI's style sheet
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""Content Security Policy: only the shop's own files, and no code or style within the page."""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" type="image/png" href="{assets}/favicon-32x32.png">
<link rel="stylesheet" href="{assets}/swagger-ui.css">
<link rel="stylesheet" href="{assets}/shop.css">
</head>
<body>
<div id="docs" data-openapi-url="{openapi_url}"><noscript>This page needs JavaScript.</noscript></div>
<script src="{assets}/swagger-ui-bundle.js"></script>
<script src="{assets}/shop.js"></script>
</body>
</html>
"""


def install_docs(app: FastAPI) -> None:
    """Serve the page at /docs, and its files below it."""
    assets = f"/docs/{digest_of(ASSETS)}"

    async def docs(request: Request) -> Response:
        root = request.scope.get("root_path", "").rstrip("/")
        page = PAGE.format(
            title=escape(app.title), assets=escape(root + assets), openapi_url=escape(f"{root}{app.openapi_url}")
        )
        headers = {
            "Content-Security-Policy": POLICY,
            "Cache-Control": "no-cache",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        return HTMLResponse(page, headers=headers)

    app.add_route("/docs", docs, include_in_schema=False)
    app.mount(assets, Assets(directory=ASSETS))
