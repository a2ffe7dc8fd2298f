"""One family of errors, and one shape for all of them: RFC 9457 `application/problem+json`.

ShopError
├── Unauthorized     401  no token, or one that is not valid
├── Forbidden        403  signed in, but not allowed to
├── NotFound         404  does not exist, or belongs to somebody else
├── Conflict         409  the state of things does not allow it
├── Unprocessable    422  well-formed, but a field's value cannot be right
├── TooManyRequests  429  wait a while
└── Unavailable      503  the database is busy or gone: try again
"""

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

logger = logging.getLogger(__name__)

PROBLEM_JSON = "application/problem+json"


TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}
"""RFC 9110's names, where Python 3.11 still has older ones."""


def title_of(status: int) -> str:
    return TITLES.get(status, HTTPStatus(status).phrase)


class FieldProblem(BaseModel):
    """What is wrong with one field of a request."""

    field: str = Field(description="Where it is, such as `body.items.0.quantity`.", examples=["body.price"])
    message: str = Field(examples=["Input should be greater than 0"])


class Problem(BaseModel):
    """RFC 9457, section 3."""

    type: str = Field(default="about:blank", examples=["about:blank"])
    title: str = Field(examples=["Conflict"])
    status: int = Field(examples=[409])
    detail: str = Field(examples=["sku is already taken"])


class ValidationProblem(Problem):
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["body.price: Input should be greater than 0"])
    errors: list[FieldProblem]


class ShopError(Exception):
    """A refusal with its reason. The rules raise these and know nothing of HTTP but this number."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR

    def __init__(self, detail: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = headers or {}

    def response(self) -> Response:
        return problem_response(self.status, self.detail, headers=self.headers)


class Unauthorized(ShopError):
    status = HTTPStatus.UNAUTHORIZED

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": "Bearer"})


class Forbidden(ShopError):
    status = HTTPStatus.FORBIDDEN


class NotFound(ShopError):
    status = HTTPStatus.NOT_FOUND


class Conflict(ShopError):
    status = HTTPStatus.CONFLICT


class Unprocessable(ShopError):
    """`field` is where the value stands in the request, such as `body.category_id`."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.errors = [FieldProblem(field=field, message=message)]

    def response(self) -> Response:
        return problem_response(self.status, self.detail, errors=self.errors)


class TooManyRequests(ShopError):
    """`retry_after` is in seconds."""

    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


class Unavailable(ShopError):
    """Nothing was done. `Retry-After` is in seconds."""

    status = HTTPStatus.SERVICE_UNAVAILABLE

    def __init__(self, detail: str, *, retry_after: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


def problem_response(
    status: int,
    detail: str,
    *,
    errors: Sequence[FieldProblem] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    known = Problem(title=title_of(status), status=status, detail=detail)
    problem = known if errors is None else ValidationProblem(**known.model_dump(), errors=list(errors))
    return JSONResponse(problem.model_dump(), status, headers, media_type=PROBLEM_JSON)


def _schema_of(status: int) -> dict[str, str]:
    model = ValidationProblem if status == HTTPStatus.UNPROCESSABLE_ENTITY else Problem
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route: which refusals it can answer, in the one shape that they have."""
    return {
        int(status): {
            "description": title_of(status),
            "content": {PROBLEM_JSON: {"schema": _schema_of(status)}},
        }
        for status in statuses
    }


UNREADABLE: dict[type, str] = {
    UnicodeDecodeError: "The body is not encoded as UTF-8.",
    RecursionError: "The body is nested too deeply.",
    ValueError: "The body holds a number with too many digits.",
}
"""What FastAPI's 400 for a body that it cannot parse comes from, and how to say it."""


MOST_TOLD = 100
"""Mistakes that an answer names; a body of a megabyte has room for a hundred thousand, which would take seconds."""


def _location(error: dict[str, Any]) -> str:
    if error["type"] == "json_invalid":
        return "body"
    return ".".join(str(part) for part in error["loc"]).encode("utf-8", "backslashreplace").decode()


def _message(error: dict[str, Any]) -> str:
    if error["type"] == "json_invalid":
        return f"is not JSON: {error['ctx']['error'].lower()}, at character {error['loc'][1]}"
    if error["loc"] == ("body",) and isinstance(error.get("input"), bytes):
        return "must be sent with the Content-Type application/json"
    if error["type"] == "string_unicode":  # in a value, or in the name of a field, which then cannot be named
        return "must not contain half of a surrogate pair"
    return str(error["msg"]).removeprefix("Value error, ")


async def _on_shop_error(request: Request, error: ShopError) -> Response:
    return error.response()


async def _on_http_exception(request: Request, error: HTTPException) -> Response:
    detail = str(error.detail)
    if error.status_code == HTTPStatus.BAD_REQUEST:
        detail = UNREADABLE.get(type(error.__cause__), detail)
    return problem_response(error.status_code, detail, headers=dict(error.headers or {}))


async def _on_validation_error(request: Request, error: RequestValidationError) -> Response:
    """Say where and why, never what: an input can be a password, or no valid JSON.

    Each is said once, also where a route and a dependency of it read the same body.
    """
    wrong = dict.fromkeys((_location(each), _message(each)) for each in error.errors()[:MOST_TOLD])
    errors = [FieldProblem(field=field, message=message) for field, message in wrong]
    detail = "; ".join(f"{each.field}: {each.message}" for each in errors[:3])
    return problem_response(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=errors)


async def _on_anything_else(request: Request, error: Exception) -> Response:
    return problem_response(HTTPStatus.INTERNAL_SERVER_ERROR, "The shop made a mistake; it is in the log.")


def install_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(ShopError, _on_shop_error)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, _on_http_exception)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, _on_validation_error)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, _on_anything_else)
