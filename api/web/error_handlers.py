"""What the app answers to an exception, always as a problem."""

import logging
import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.database.causes import cause_of
from api.errors import ShopError
from api.models.types import in_plain_words
from api.telemetry.metrics import metrics
from api.web.dispatch import other_method
from api.web.framework_internals import endpoints, path_template, reads_form, why_body_is_unreadable
from api.web.middleware import SECURITY_HEADERS
from api.web.near_paths import near_path
from api.web.paths import path_of
from api.web.problems import FieldProblem, problem_response, refusal_response
from api.web.routing import InternalError
from api.web.unknown_fields import why_unknown

logger = logging.getLogger(__name__)

E = TypeVar("E", bound=Exception)

MAX_ERRORS_IN_ANSWER = 100
"""Mistakes that an answer names; a body of a megabyte has room for a hundred thousand, which would take seconds."""

MAX_ERRORS_IN_DETAIL = 3
"""Mistakes that the one line of `detail` names; all are in `errors`."""

WORD = re.compile("[a-z][a-z-]{4,}")
"""What stands in paths beside ids: `low-stock`."""

INTERNAL_ERROR = "Internal error. The server's log has the details."


def install_error_handlers(app: FastAPI) -> None:
    _install(app, ShopError, _on_shop_error)
    _install(app, HTTPException, _on_http_exception)
    _install(app, RequestValidationError, _on_validation_error)
    _install(app, InternalError, _on_internal_error)
    _install(app, Exception, _on_exception_of_middleware)


def _install(app: FastAPI, kind: type[E], respond: Callable[[Request, E], Awaitable[Response]]) -> None:
    """Starlette hands a handler only exceptions of its kind, but its types do not say so."""

    async def handle(request: Request, error: Exception) -> Response:
        if not isinstance(error, kind):
            raise error
        return await respond(request, error)

    app.add_exception_handler(kind, handle)


async def _on_shop_error(request: Request, error: ShopError) -> Response:
    if error.status == HTTPStatus.SERVICE_UNAVAILABLE:
        metrics.refused(cause_of(error.__cause__))
    return refusal_response(error)


async def _on_http_exception(request: Request, error: HTTPException) -> Response:
    match error.status_code:
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return other_method(request)
        case HTTPStatus.NOT_FOUND:
            return _not_found(_near(request))
        case HTTPStatus.BAD_REQUEST:
            return problem_response(400, why_body_is_unreadable(error) or str(error.detail))
    return problem_response(error.status_code, str(error.detail), headers=dict(error.headers or {}))


async def _on_validation_error(request: Request, error: RequestValidationError) -> Response:
    """Say where and why, and never the value: it can be a password, or no valid JSON.

    Each mistake is named once, also where a route and its dependency read the same body.
    """
    if any(map(_is_word_for_id, error.errors()[:MAX_ERRORS_IN_ANSWER])) and (near := _near(request)):
        return _not_found(near)
    mistakes = dict.fromkeys(
        (_location(each), _message(request, each)) for each in error.errors()[:MAX_ERRORS_IN_ANSWER]
    )
    errors = [FieldProblem(field=field, message=message) for field, message in mistakes]
    detail = "; ".join(f"{each.field}: {each.message}" for each in errors[:MAX_ERRORS_IN_DETAIL])
    return problem_response(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=errors)


async def _on_internal_error(request: Request, error: InternalError) -> Response:
    """Inside all middleware, so that the answer has every header, and the connection stays open."""
    logger.error("%s %s failed", request.method, path_template(request), exc_info=error.__cause__)
    return problem_response(HTTPStatus.INTERNAL_SERVER_ERROR, INTERNAL_ERROR)


async def _on_exception_of_middleware(request: Request, error: Exception) -> Response:
    """Outside all middleware, which then has failed itself; the server logs the error and closes the connection."""
    headers = {**SECURITY_HEADERS, "Connection": "close"}
    return problem_response(HTTPStatus.INTERNAL_SERVER_ERROR, INTERNAL_ERROR, headers=headers)


def _near(request: Request) -> str | None:
    path = path_of(request.scope)
    return near_path(request.method, path, endpoints(request.app, path))


def _not_found(near: str | None) -> Response:
    return problem_response(HTTPStatus.NOT_FOUND, f"Not Found. Did you mean `{near}`?" if near else "Not Found")


def _is_word_for_id(error: dict[str, Any]) -> bool:
    """Whether a path has a word where an id should be, so that it is probably no path of a row."""
    is_of_path = error["loc"][0] == "path" and error["type"] == "int_parsing"
    return is_of_path and WORD.fullmatch(str(error["input"])) is not None


def _is_json(request: Request) -> bool:
    return "json" in request.headers.get("Content-Type", "")


def _location(error: dict[str, Any]) -> str:
    if error["type"] == "json_invalid":
        return "body"
    return ".".join(str(part) for part in error["loc"]).encode("utf-8", "backslashreplace").decode()


def _message(request: Request, error: dict[str, Any]) -> str:
    if error["type"] == "json_invalid":
        return f"is not valid JSON: {error['ctx']['error'].lower()}, at character {error['loc'][1]}"
    if error["loc"] == ("body",) and isinstance(error.get("input"), bytes):
        return "must be sent with the Content-Type application/json"
    if error["type"] == "extra_forbidden":
        return why_unknown(request, error["loc"][1:])
    if error["type"] == "missing" and error["loc"][0] == "body" and reads_form(request) and _is_json(request):
        return "Field required: send a form (application/x-www-form-urlencoded), and not JSON"
    return in_plain_words(error)
