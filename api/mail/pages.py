"""The pages that links in mail lead to. They work without JavaScript, and a form is sent before anything happens: mail
programs open the links of a mail by themselves, to look for what is bad.

The token stands in the query of the link. No page sends a referrer, and no page loads anything.
"""

import base64
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route, Router

from api.auth.mailed_links import confirm_new_email, confirm_new_user, set_new_password
from api.errors import ShopError
from api.mail.letters import PAGES
from api.models.mail import EmailConfirmation, MailKind, PasswordReset
from api.models.registration import RegistrationConfirmation
from api.models.types import in_plain_words
from api.settings import Settings
from api.web.forms import fields_of_form
from api.web.middleware import PAGE_OF_REFUSAL
from api.web.problems import title_of
from api.web.transactions import in_transaction

FOLDER = Path(__file__).parent / "pages"

STYLE = (FOLDER / "page.css").read_text()
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

POLICY = "; ".join(
    (
        "default-src 'none'",
        f"style-src 'sha256-{STYLE_HASH}'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
"""Content Security Policy: the one style of the page, and nothing else."""

METHODS = ["GET", "POST"]
HEADERS = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}

BAD_LINK = "This link does not work"
INCOMPLETE = "The link is incomplete. Open it from the mail again, or copy all of it."


async def _reset(request: Request, sent: Mapping[str, str]) -> None:
    await set_new_password(request, PasswordReset.model_validate(sent))


async def _confirm(request: Request, sent: Mapping[str, str]) -> None:
    await confirm_new_email(request, EmailConfirmation.model_validate(sent))


async def _register(request: Request, sent: Mapping[str, str]) -> None:
    await confirm_new_user(request, RegistrationConfirmation.model_validate(sent))


@dataclass(frozen=True)
class Page:
    """A page with one form, and what that does."""

    title: str
    form: str
    button: str
    done: str
    act: Callable[[Request, Mapping[str, str]], Awaitable[None]]


SERVED = {
    MailKind.PASSWORD_RESET: Page(
        "Choose a new password",
        "password",
        "Set the password",
        "Your password is changed. Sign in with the new one.",
        _reset,
    ),
    MailKind.EMAIL_CONFIRMATION: Page(
        "Confirm your address",
        "confirmation",
        "Confirm the address",
        "Your new address is confirmed.",
        _confirm,
    ),
    MailKind.REGISTRATION: Page(
        "Confirm your registration",
        "confirmation",
        "Create the account",
        "Your account is there. Sign in with the password that you chose.",
        _register,
    ),
}


def install_mail_pages(app: FastAPI, settings: Settings) -> None:
    """Serve the pages at the paths that links lead to."""
    environment = Environment(loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined)
    template = environment.get_template("page.html")
    for kind, page in SERVED.items():
        show = partial(_shown, template, page, settings.shop_name, PAGES[kind])
        route = Route(PAGES[kind], _endpoint(page, show), methods=METHODS)
        # A router of its own notes the route in the scope, as FastAPI does of its own routes alone: the log names it.
        app.router.routes.append(Route(PAGES[kind], Router([route]), methods=METHODS, include_in_schema=False))


def _shown(
    template: Template, page: Page, shop: str, path: str, request: Request, status: int = 200, **values: Any
) -> Response:
    is_bad = status >= HTTPStatus.BAD_REQUEST
    defaults: dict[str, Any] = {"form": page.form, "button": page.button, "title": page.title, "is_bad": is_bad}
    action = request.scope.get("root_path", "") + path
    fixed = {"message": "", "token": "", "shop": shop, "style": Markup(STYLE), "action": action}  # noqa: S704 - a file of our own
    return HTMLResponse(template.render({**defaults, **fixed, **values}), status, HEADERS)


def _endpoint(page: Page, show: Callable[..., Response]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        def refusal(status: int, detail: str) -> Response:
            title = BAD_LINK if status == HTTPStatus.FORBIDDEN else title_of(status)
            return show(request, status, title=title, message=detail, form="")

        request.scope[PAGE_OF_REFUSAL] = refusal
        if request.method != "POST":
            token = request.query_params.get("token", "")
            if token:
                return show(request, token=token)
            return show(request, title=BAD_LINK, form="", message=INCOMPLETE, is_bad=True)
        sent: dict[str, str] = {}

        async def act(request: Request) -> Response:
            sent.update(await fields_of_form(request))
            await page.act(request, sent)
            return show(request, form="", message=page.done)

        try:
            return await in_transaction(act)(request)
        except ValidationError as error:
            words = _words_for(error)
            return show(request, HTTPStatus.UNPROCESSABLE_ENTITY, message=words, token=sent.get("token", ""))
        except ShopError as error:
            response = refusal(error.status, error.detail)
            if error.retry_after is not None:
                response.headers["Retry-After"] = str(error.retry_after)
            return response
        except HTTPException as error:
            return refusal(error.status_code, str(error.detail))

    return endpoint


def _words_for(error: ValidationError) -> str:
    """What is wrong with the password, if it is that; a form that was changed has no better word."""
    mistake = error.errors(include_input=False, include_url=False)[0]
    if mistake["loc"] != ("new_password",):
        return INCOMPLETE
    is_length = mistake["type"] in ("string_too_short", "string_too_long")
    return f"The password {'must have 8 to 128 characters' if is_length else in_plain_words(mistake)}."
