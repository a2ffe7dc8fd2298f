"""The arguments of a route: what FastAPI finds out about them at each request is found once here.

FastAPI asks at each request of each dependency whether it is a generator, what its scope is and of what kind each of
its parameters is, which takes longer than the statement that reads a product. What values a request has, and whether
they are valid, FastAPI's own functions say here too. A route that depends on something else than coroutines, paths,
queries and JSON, such as a form or a header, is left to FastAPI, and so is one in a router that another one includes.
FastAPI's own spans of dependencies and endpoints, which are off, would be of those routes alone.
"""

from collections.abc import Callable
from email.message import Message
from functools import lru_cache
from json import JSONDecodeError
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from api.web.framework_internals import (
    ABSENT,
    Needs,
    body_values,
    needs_of,
    path_value,
    query_model_value,
    query_values,
)

UNREADABLE = "There was an error parsing the body"
"""What FastAPI says of a body that is not JSON for another reason than its syntax."""

Found = dict[Callable[..., Any], Any]
"""What dependencies have returned: each is called once for a request."""


class Arguments:
    """What the endpoint of one route is called with."""

    def __init__(self, needs: Needs) -> None:
        self._needs = needs
        self._reads_body = needs.reads_body

    async def of(self, request: Request) -> dict[str, Any]:
        """
        Raises:
            RequestValidationError: Something is not valid; it names all errors.
            HTTPException: The body cannot be read.
        """
        body = await _json_of(request) if self._reads_body else ABSENT
        errors: list[Any] = []
        values = await _collect(self._needs, request, body, {}, errors)
        if errors:
            raise RequestValidationError(errors, body=None if body is ABSENT else body)
        return values


def arguments_of(route: APIRoute) -> Arguments | None:
    """`None` for a route whose arguments only FastAPI finds."""
    needs = needs_of(route)
    return None if needs is None else Arguments(needs)


async def _collect(needs: Needs, request: Request, body: Any, found: Found, errors: list[Any]) -> dict[str, Any]:
    """The values of one function's parameters; what it depends on is called first, where its own have no errors."""
    values: dict[str, Any] = {}
    for each in needs.dependencies:
        if each.call not in found:
            before = len(errors)
            its_values = await _collect(each, request, body, found, errors)
            if len(errors) > before:
                continue
            found[each.call] = await each.call(**its_values)
        if each.name is not None:
            values[each.name] = found[each.call]
    for field in needs.path:
        values[field.name] = path_value(field, request.path_params, errors)
    if needs.query_model is not None:
        values[needs.query_model.name] = query_model_value(needs.query_model, request.query_params, errors)
    if needs.query:
        values |= query_values(needs.query, request.query_params, errors)
    if needs.body:
        values |= await body_values(needs.body, body, errors, embedded=needs.body_is_embedded)
    if needs.request_name:
        values[needs.request_name] = request
    return values


async def _json_of(request: Request) -> Any:
    """The body as JSON; its bytes where it says that it is something else, which no field takes."""
    try:
        content = await request.body()
        if not content:
            return ABSENT
        return await request.json() if _is_json(request.headers.get("Content-Type", "")) else content
    except JSONDecodeError as error:
        wrong = {"type": "json_invalid", "loc": ("body", error.pos), "msg": "JSON decode error", "input": {}}
        raise RequestValidationError([wrong | {"ctx": {"error": error.msg}}], body=error.doc) from error
    except HTTPException:  # of a middleware that limits bodies
        raise
    except Exception as error:  # it is not in UTF-8, nested too deeply, or has a number of thousands of digits
        raise HTTPException(400, UNREADABLE) from error


@lru_cache(maxsize=64)
def _is_json(content_type: str) -> bool:
    message = Message()
    message["Content-Type"] = content_type
    subtype = message.get_content_subtype()
    return message.get_content_maintype() == "application" and (subtype == "json" or subtype.endswith("+json"))
