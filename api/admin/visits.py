"""One request to the admin: who sends it, and how a page is made for it. What goes wrong with a page is a page too."""

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlencode

from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from api.admin.entities import Entities
from api.admin.in_process import RETRY_AFTER, Answer, call_api
from api.admin.sent_forms import FILE_LOST, TOO_LARGE, form_with_file
from api.admin.sessions import refuse_other_sites, token_of, with_token
from api.admin.templates import Pages
from api.auth.callers import optional_caller
from api.errors import Forbidden, NotFound, ShopError, Unauthorized
from api.models.user import Caller
from api.settings import Settings
from api.web.forms import fields_of_form
from api.web.middleware import PAGE_OF_REFUSAL
from api.web.paths import path_of
from api.web.problems import title_of
from api.web.transactions import in_transaction, run_of

logger = logging.getLogger(__name__)

T = TypeVar("T")

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
"""Content Security Policy: only the shop's own files, and no code or style within a page."""

HEADERS = {"Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin"}
"""The referrer stays within the shop. Without one a browser would call the origin of a form `null`."""

SECRET_PREFIX = "secret:"  # noqa: S105
"""How the names of fields begin that hold a password: they are never shown again."""

SESSION_ENDED = "Your session has ended. Sign in again: what you typed is kept."
NOT_STAFF = "This account is not a staff account. The admin is for staff."


class Visit:
    """A request to a page, by a staff user but for that where one signs in."""

    def __init__(self, request: Request, pages: Pages, entities: Entities) -> None:
        self.request = request
        self.pages = pages
        self.entities = entities
        self.user: Caller | None = None
        self.form: dict[str, str] = {}
        self.file: UploadFile | None = None
        self.sends_file = False
        """Whether the body is a form with a file, which is read once it is known who sends it."""

    @property
    def staff(self) -> Caller:
        if self.user is None:
            raise Unauthorized("Sign in first.")
        return self.user

    @property
    def settings(self) -> Settings:
        settings: Settings = self.request.app.state.settings
        return settings

    def new_key(self) -> str:
        """An `Idempotency-Key` for a form."""
        return secrets.token_hex()

    async def session(self) -> AsyncSession:
        return await run_of(self.request).read_session()

    async def release(self) -> None:
        """Give the connection back, so that no request waits for a second one while it has the first."""
        await (await self.session()).close()

    async def call(self, method: str, path: str, **sent: Any) -> Answer:
        """Ask the API, as the user of this session.

        Raises:
            Unauthorized: The session has ended meanwhile.
        """
        answer = await call_api(self.request, method, path, token=token_of(self.request), **sent)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            raise Unauthorized(answer.detail)
        return answer

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        return HTMLResponse(self.pages.render(template, self.request, self.user, **values), status, HEADERS)

    def redirect(self, path: str) -> Response:
        """303: the browser reads the page, and a reload sends nothing again."""
        return RedirectResponse(self.pages.url(self.request, path), 303, HEADERS)

    async def read(self, find: "Callable[[Visit], Awaitable[T]]") -> T:
        """Find something in the database, again on a fresh connection where one broke. It reads a body, but no file."""
        found: list[T] = []

        async def run(request: Request) -> Response:
            found[:] = [await find(self)]
            return Response()

        await in_transaction(run, takes_upload=self.sends_file)(self.request)
        return found[0]

    async def identify(self) -> None:
        """Find out who sends this.

        Raises:
            Unauthorized: Nobody who is signed in.
            Forbidden: Somebody who is not, or no longer, staff.
        """
        user = await optional_caller(self.request)
        if user is None:
            raise Unauthorized("Sign in first.")
        if not user.is_superuser:
            raise Forbidden(NOT_STAFF)
        self.user = user


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
    request = visit.request
    path = path_of(request.scope).removeprefix("/admin") or "/"
    query = request.scope["query_string"].decode("latin-1")
    is_lost = request.method == "POST"
    return visit.page(
        "sign_in.html",
        HTTPStatus.UNAUTHORIZED,
        target=f"{path}?{query}" if query and not is_lost else path,
        kept=_kept(visit.form) if is_lost and not visit.sends_file else "",
        message=(FILE_LOST if visit.sends_file else SESSION_ENDED) if is_lost else "",
    )


def _kept(form: Mapping[str, str]) -> str:
    """What was typed, without passwords, as the page to sign in at carries it."""
    return urlencode({name: value for name, value in form.items() if not name.startswith(SECRET_PREFIX)})


def _refusal(visit: Visit, status: int, detail: str, retry_after: int | str | None = None) -> Response:
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and visit.sends_file:
        detail = TOO_LARGE.format(visit.settings.max_import_size)
    response = visit.page("error.html", status, code=status, title=title_of(status), detail=detail)
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


def no_such_page() -> NotFound:
    return NotFound("There is no such page.")
