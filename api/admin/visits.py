"""One request to the admin: who sends it, and how a page is made for it."""

import secrets
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, TypeVar

from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from api.admin.entities import Entities
from api.admin.in_process import Answer, call_api
from api.admin.sessions import token_of
from api.admin.templates import Pages
from api.auth.callers import optional_caller
from api.errors import Forbidden, NotFound, Unauthorized
from api.models.user import Caller
from api.settings import Settings
from api.web.transactions import in_transaction, run_of

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

NOT_STAFF = "This account is not a staff account. The admin is for staff."


class Visit:
    """A request to a page, by a staff user but for that where one signs in."""

    def __init__(self, request: Request, pages: Pages, entities: Entities) -> None:
        self.request = request
        self.pages = pages
        self.entities = entities
        self.user: Caller | None = None
        self.form: dict[str, str] = {}
        self.may_be_sent_again = False
        """Whether it is a form to act on, which is offered again where it came at a bad moment."""
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


def no_such_page() -> NotFound:
    return NotFound("There is no such page.")
