"""The session of a browser: a cookie that holds a token of the API, so it is counted, revoked and expires like one."""

import re
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from api.errors import Forbidden
from api.settings import Settings

COOKIE = "shop_admin"
TOKEN = re.compile(r"[A-Za-z0-9_-]{1,200}")
SAFE_TARGET = re.compile(r"/[A-Za-z0-9/_.-]*(\?[A-Za-z0-9_.~%&=+-]*)?")

FORGED = "This form was sent by another website, or by a browser that does not say where it comes from."


def token_of(request: Request) -> str | None:
    token = request.cookies.get(COOKIE, "")
    return token if TOKEN.fullmatch(token) else None


def with_token(request: Request) -> Request:
    """The request as the API would get it. An `Authorization` of its own counts for nothing here."""
    headers = [(name, value) for name, value in request.scope["headers"] if name != b"authorization"]
    if token := token_of(request):
        headers.append((b"authorization", f"Bearer {token}".encode()))
    return Request({**request.scope, "headers": headers}, request.receive)


def begin(response: Response, request: Request, token: str, seconds: int, settings: Settings) -> None:
    response.set_cookie(COOKIE, token, max_age=seconds, **_cookie_options(request, settings))


def end(response: Response, request: Request, settings: Settings) -> None:
    response.delete_cookie(COOKIE, **_cookie_options(request, settings))


def _cookie_options(request: Request, settings: Settings) -> dict[str, Any]:
    """`Lax`, and not `Strict`: a link in an e-mail to an order would lead to the sign-in page."""
    return {
        "path": f"{request.scope.get('root_path', '')}/admin",
        "httponly": True,
        "samesite": "lax",
        "secure": settings.is_production or request.url.scheme == "https",
    }


def refuse_other_sites(request: Request) -> None:
    """Refuse a change that another website asks for (CSRF).

    By `Sec-Fetch-Site`, which a page cannot set, and which every browser sends by https and on localhost since 2023;
    by http elsewhere, by `Origin`. This is the "Fetch Metadata" defence of OWASP's Cross-Site Request Forgery
    Prevention Cheat Sheet, and what `http.CrossOriginProtection` of Go does. A token in each form would protect no
    better, could not protect the sign-in, and would break a form that was open while its session ended.

    Raises:
        Forbidden: It is not from a page of this very host.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin", "")
    if site is not None:
        is_own = site == "same-origin"
    else:
        try:
            is_own = bool(origin) and urlsplit(origin).netloc == request.headers.get("host")
        except ValueError:
            is_own = False
    if not is_own:
        raise Forbidden(FORGED)


def safe_target(target: str) -> str:
    """Where to go after the sign-in: a page of the admin, or its first one."""
    leaves = any(part in target.partition("?")[0] for part in ("//", ".."))
    return target if SAFE_TARGET.fullmatch(target) and not leaves else "/"
