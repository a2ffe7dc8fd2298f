"""Endpoints of the admin, made of functions that show a page or do something. What goes wrong is a page too."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from api.admin.entities import Entities
from api.admin.in_process import RETRY_AFTER
from api.admin.sent_forms import FILE_LOST, TOO_LARGE, form_with_file
from api.admin.sessions import refuse_other_sites, with_token
from api.admin.templates import Pages
from api.admin.visits import SECRET_PREFIX, Visit
from api.errors import ShopError, Unauthorized
from api.web.forms import fields_of_form
from api.web.middleware import PAGE_OF_REFUSAL
from api.web.paths import path_of
from api.web.problems import title_of

logger = logging.getLogger(__name__)

SESSION_ENDED = "Your session has ended. Sign in again: what you typed is kept."

TYPED_IS_KEPT = "What you typed is kept, but for passwords."

Show = Callable[[Visit], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]


class Visits:
    """Makes endpoints of functions that show a page or do something."""

    def __init__(self, pages: Pages, entities: Entities) -> None:
        self._pages = pages
        self._entities = entities

    def reading(self, show: Show) -> Endpoint:
        """A page that only reads: all of it in one run, which is run again where a connection broke."""

        async def run(visit: Visit) -> Response:
            await visit.identify()
            return await show(visit)

        return self._endpoint(lambda visit: visit.read(run))

    def acting(self, act: Show) -> Endpoint:
        """A form that was sent. Whatever it does is done by the API, outside of any run of this page's own."""

        async def run(visit: Visit) -> Response:
            refuse_other_sites(visit.request)
            visit.may_be_sent_again = True
            await visit.read(_identify_sender)
            return await act(visit)

        return self._endpoint(run)

    def uploading(self, act: Show) -> Endpoint:
        """A form with a file. Nothing of it is read before it is known that staff send it."""

        async def run(visit: Visit) -> Response:
            visit.sends_file = True
            refuse_other_sites(visit.request)
            await visit.read(Visit.identify)
            async with form_with_file(visit.request) as (visit.form, visit.file):
                return await act(visit)

        return self._endpoint(run)

    def open_to_all(self, act: Show) -> Endpoint:
        """A page that needs no session: that where one signs in."""

        async def run(visit: Visit) -> Response:
            if visit.request.method == "POST":
                refuse_other_sites(visit.request)
                await visit.read(_take_form)
            return await act(visit)

        return self._endpoint(run)

    def _endpoint(self, run: Show) -> Endpoint:
        async def endpoint(request: Request) -> Response:
            visit = Visit(with_token(request), self._pages, self._entities)
            request.scope[PAGE_OF_REFUSAL] = partial(_refusal, visit)
            try:
                return await run(visit)
            except Unauthorized:
                return _sign_in_page(visit)
            except ShopError as error:
                return _refusal(visit, error.status, error.detail, error.retry_after)
            except HTTPException as error:
                return _refusal(visit, error.status_code, str(error.detail), (error.headers or {}).get(RETRY_AFTER))
            except Exception:
                logger.exception("%s %s failed", request.method, request.scope["path"])
                return _refusal(visit, 500, "Internal error. The server's log has the details.")

        return endpoint


async def _take_form(visit: Visit) -> None:
    visit.form = await fields_of_form(visit.request)


async def _identify_sender(visit: Visit) -> None:
    await _take_form(visit)
    await visit.identify()


def _sign_in_page(visit: Visit) -> Response:
    """Where a session is missing or has ended: after the sign-in one is where one was, with what was typed."""
    is_lost = visit.request.method == "POST"
    return visit.page(
        "sign_in.html",
        HTTPStatus.UNAUTHORIZED,
        target=_path(visit) if is_lost else _place(visit),
        kept=urlencode(_kept(visit.form)) if is_lost and not visit.sends_file else "",
        message=(FILE_LOST if visit.sends_file else SESSION_ENDED) if is_lost else "",
    )


def _path(visit: Visit) -> str:
    return path_of(visit.request.scope).removeprefix("/admin") or "/"


def _place(visit: Visit) -> str:
    query = visit.request.scope["query_string"].decode("latin-1")
    return f"{_path(visit)}?{query}" if query else _path(visit)


def _kept(form: Mapping[str, str]) -> dict[str, str]:
    """What was typed, without passwords, which no page shows again."""
    return {name: value for name, value in form.items() if not name.startswith(SECRET_PREFIX)}


def _refusal(visit: Visit, status: int, detail: str, retry_after: int | str | None = None) -> Response:
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and visit.sends_file:
        detail = TOO_LARGE.format(visit.settings.max_import_size)
    if retry_after is not None and visit.may_be_sent_again and visit.form:
        again: dict[str, Any] = {"title": title_of(status), "text": f"{detail} {TYPED_IS_KEPT}", "button": "Try again"}
        response = visit.page("resume.html", status, target=_place(visit), fields=_kept(visit.form).items(), **again)
    else:
        response = visit.page("error.html", status, code=status, title=title_of(status), detail=detail)
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response
