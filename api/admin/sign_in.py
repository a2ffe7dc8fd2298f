"""Signing in and out. It is done by `POST /auth/token`, so it is counted and throttled like every other sign-in."""

from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl

from starlette.responses import Response

from api.admin import sessions
from api.admin.in_process import call_api
from api.admin.visits import NOT_STAFF, Visit
from api.web.forms import MAX_FIELDS

SIGNED_IN_AGAIN: dict[str, Any] = {
    "title": "You are signed in again",
    "text": "What you typed before your session ended was not saved yet.",
    "button": "Save it now",
}


async def show(visit: Visit) -> Response:
    target = sessions.safe_target(visit.request.query_params.get("next", "/"))
    return visit.page("sign_in.html", target=target, kept="", message="")


async def sign_in(visit: Visit) -> Response:
    """Begin a session. A form whose session had ended is shown again, to be sent again."""
    form = visit.form
    target, kept = sessions.safe_target(form.get("next", "/")), form.get("kept", "")
    credentials = {"username": form.get("username", ""), "password": form.get("password", "")}
    answer = await call_api(visit.request, "POST", "/auth/token", form=credentials)
    status, refusal = answer.status, answer.detail
    if not answer.is_refusal:
        token = answer.content["access_token"]
        me = await call_api(visit.request, "GET", "/users/me", token=token)
        if not me.is_refusal and me.content["is_superuser"]:
            response = visit.redirect(target) if not kept else _resume(visit, target, kept)
            sessions.begin(response, visit.request, token, answer.content["expires_in"], visit.settings)
            return response
        await call_api(visit.request, "DELETE", "/auth/token", token=token)
        answer = me
        status, refusal = (me.status, me.detail) if me.is_refusal else (HTTPStatus.FORBIDDEN, NOT_STAFF)
    return answer.passed_on_by(visit.page("sign_in.html", status, target=target, kept=kept, message=refusal))


def _resume(visit: Visit, target: str, kept: str) -> Response:
    fields = parse_qsl(kept, keep_blank_values=True)[:MAX_FIELDS]
    return visit.page("resume.html", target=target, fields=fields, **SIGNED_IN_AGAIN)


async def sign_out(visit: Visit) -> Response:
    """Revoke the token, wherever else the cookie may have been copied to."""
    token = sessions.token_of(visit.request)
    if token is not None:
        answer = await call_api(visit.request, "DELETE", "/auth/token", token=token)
        if answer.is_refusal and answer.status != HTTPStatus.UNAUTHORIZED:
            raise answer.error()  # the cookie stays, so that it can be tried again
    response = visit.redirect("/sign-in")
    sessions.end(response, visit.request, visit.settings)
    return response
