"""Errors as responses, all of one shape: RFC 9457 `application/problem+json`."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from api.errors import BadRows, ShopError, Unprocessable
from api.telemetry.context import request_id
from api.web.request_ids import new_request_id

PROBLEM_JSON = "application/problem+json"

BY_SETTING = "x-by-setting"
"""The key of a response that is declared where this setting is on."""

RFC_9110_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}
"""Where Python 3.11 still has older names."""


class FieldProblem(BaseModel):
    """What is wrong with one field of a request."""

    field: str = Field(description="The place, such as `body.items.0.quantity`.", examples=["body.price"])
    message: str = Field(examples=["Input should be greater than 0"])


class Problem(BaseModel):
    """RFC 9457, section 3."""

    type: str = Field(default="about:blank", examples=["about:blank"])
    title: str = Field(examples=["Conflict"])
    status: int = Field(examples=[409])
    detail: str = Field(examples=["A product with this sku already exists."])
    request_id: str = Field(
        description="The `X-Request-ID` of the request that was refused; a replay has that of the first one.",
        examples=["7f0c1b9e0d3f4c0e9c1c55c1a1e0b6d2"],
    )


class ValidationProblem(Problem):
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["body.price: Input should be greater than 0"])
    errors: list[FieldProblem]


def title_of(status: int) -> str:
    return RFC_9110_TITLES.get(status, HTTPStatus(status).phrase)


def problem_response(
    status: int,
    detail: str,
    *,
    errors: Sequence[FieldProblem] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    plain = Problem(
        title=title_of(status), status=status, detail=detail, request_id=request_id.get() or new_request_id()
    )
    problem = plain if errors is None else ValidationProblem(**plain.model_dump(), errors=list(errors))
    return JSONResponse(problem.model_dump(), status, headers, media_type=PROBLEM_JSON)


def refusal_response(error: ShopError) -> Response:
    """The response that says what a `ShopError` says."""
    headers = {}
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    errors = None
    if isinstance(error, Unprocessable):
        errors = [FieldProblem(field=error.field, message=error.message)]
    elif isinstance(error, BadRows):
        errors = [FieldProblem(field=field, message=message) for field, message in error.problems]
    return problem_response(error.status, error.detail, errors=errors, headers=headers)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route: which errors it can answer."""
    return {
        int(status): {
            "description": title_of(status),
            "content": {PROBLEM_JSON: {"schema": _schema_of(status)}},
        }
        for status in statuses
    }


def accepts(model: type[BaseModel], *, setting: str) -> dict[int | str, dict[str, Any]]:
    """The same of a 202 that a route answers where a setting is on; elsewhere the document does not have it."""
    return {HTTPStatus.ACCEPTED.value: {"model": model, BY_SETTING: setting}}


def _schema_of(status: int) -> dict[str, str]:
    model = ValidationProblem if status == HTTPStatus.UNPROCESSABLE_ENTITY else Problem
    return {"$ref": f"#/components/schemas/{model.__name__}"}
