"""The one place where this room leans on what FastAPI and Starlette do not promise, and the test that notices each.

- `middleware_stack` of the app's router is what the middleware leads to: `tests/web/test_dispatch.py`.
- The matched route in the scope, for its template: `tests/web/test_idempotency.py`.
- The English of Starlette's own refusals, which come as plain text: `tests/web/test_transport.py`.
- What a 400 for a body that cannot be read was caused by: `tests/web/test_error_handlers.py`.
- What type of body a route reads, and whether that is a form: `tests/web/test_refused_fields.py`.
- The flat list of what a route and its dependencies read from a query: `tests/web/test_queries.py`.
- A `Dependant`, the tree of what a route depends on: `tests/web/test_key_rules.py`, `tests/openapi/test_document.py`.
- How FastAPI takes values from a request, and how Starlette answers an exception: `tests/web/test_arguments.py`.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from http import HTTPStatus
from inspect import iscoroutinefunction
from typing import Any, NamedTuple

from fastapi import FastAPI, Request
from fastapi._compat import ModelField, Undefined, field_annotation_is_scalar
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_flat_params, request_body_to_args, request_params_to_args
from fastapi.params import Cookie, Form, Header, Path
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from starlette._exception_handler import wrap_app_handling_exceptions
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send


class Endpoint(NamedTuple):
    """The methods that one route has on its path template, such as `/users/{id}`."""

    path: str
    methods: frozenset[str]
    matches: bool
    """Whether the path that was asked for fits the template."""


def endpoints(app: FastAPI, path: str = "") -> Iterator[Endpoint]:
    """Every route of the app, held against a path."""
    for route in app.routes:
        if isinstance(route, Route) and route.methods:
            yield Endpoint(route.path_format, frozenset(route.methods), bool(route.path_regex.match(path)))


def replace_router(app: FastAPI, by: Callable[[ASGIApp], Any]) -> None:
    """Put something before the app's router, behind all middleware."""
    app.router.middleware_stack = by(app.router.app)


def dependencies_of(route: APIRoute) -> frozenset[Callable[..., Any]]:
    """Every function that a route depends on, directly or not."""
    return frozenset(_dependencies(route.dependant))


def _dependencies(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    if dependant.call is not None:
        yield dependant.call
    for each in dependant.dependencies:
        yield from _dependencies(each)


ABSENT: Any = Undefined
"""The body of a request that has none."""


class Needs(NamedTuple):
    """What one function of a route takes from a request, the route's own or one that it depends on."""

    call: Callable[..., Awaitable[Any]]
    name: str | None
    """The parameter that gets what it returns; none does, where a route only has it done."""
    request_name: str | None
    dependencies: tuple["Needs", ...]
    path: list[ModelField]
    query: list[ModelField]
    query_model: ModelField | None
    """The one model of the whole query, in the place of `query`, where each of its fields is a single value."""
    body: list[ModelField]
    body_is_embedded: bool

    @property
    def reads_body(self) -> bool:
        return bool(self.body) or any(each.reads_body for each in self.dependencies)


def needs_of(route: APIRoute) -> Needs | None:
    """`None` where a route takes something else than the results of coroutines, and values of paths, queries and JSON,
    or where it has rules of its own for its body: what FastAPI does then, only FastAPI does.
    """
    takes_other_content = not getattr(route.strict_content_type, "value", route.strict_content_type)
    if reads_a_form(route) or takes_other_content or route.max_body_size is not None:
        return None
    if route.response_model is None and route.status_code != HTTPStatus.NO_CONTENT:
        return None  # FastAPI makes an answer of what it returns
    return _needs(route.dependant, route)


def _needs(of: Dependant, route: APIRoute) -> Needs | None:
    dependencies = [_needs(each, route) for each in of.dependencies]
    found = tuple(each for each in dependencies if each is not None)
    if not _is_plain(of, route) or len(found) < len(dependencies):
        return None
    model = _plain_model(of.query_params)
    query = of.query_params if model is None else []
    call: Any = of.call
    embedded = route._embed_body_fields
    return Needs(call, of.name, of.request_param_name, found, of.path_params, query, model, of.body_params, embedded)


def _is_plain(of: Dependant, route: APIRoute) -> bool:
    """Whether a function is a coroutine that takes nothing but what `Needs` has names for."""
    call: Any = of.call
    is_coroutine = iscoroutinefunction(call) or iscoroutinefunction(type(call).__call__)
    takes_more = [
        of.header_params,
        of.cookie_params,
        of.http_connection_param_name,
        of.websocket_param_name,
        of.response_param_name,
        of.background_tasks_param_name,
        of.security_scopes_param_name,
    ]
    has_rules = not of.use_cache or of.concurrency is not None
    has_plain_path = all(
        each.alias in route.param_convertors
        and each.field_info.validation_alias in (None, each.alias)
        and field_annotation_is_scalar(each.field_info.annotation)
        for each in of.path_params
    )
    return is_coroutine and has_plain_path and not has_rules and not any(takes_more)


def _plain_model(fields: list[ModelField]) -> ModelField | None:
    model: Any = fields[0].field_info.annotation if len(fields) == 1 else None
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return None
    is_plain = all(
        each.validation_alias is None and field_annotation_is_scalar(each.annotation)
        for each in model.model_fields.values()
    )
    return fields[0] if is_plain else None


def path_value(field: ModelField, path: Mapping[str, Any], errors: list[Any]) -> Any:
    """The value of one parameter of a path; what is wrong with it is added to the errors, as by all of these."""
    return _valid(field, path[field.alias], ("path", field.alias), errors)


def query_model_value(field: ModelField, query: QueryParams, errors: list[Any]) -> Any:
    return _valid(field, dict(query.multi_items()), ("query",), errors)


def query_values(fields: list[ModelField], query: QueryParams, errors: list[Any]) -> dict[str, Any]:
    values, found = request_params_to_args(fields, query)
    errors += found
    return values


async def body_values(fields: list[ModelField], body: Any, errors: list[Any], *, embedded: bool) -> dict[str, Any]:
    values, found = await request_body_to_args(fields, body, embedded)
    errors += found
    return values


def _valid(field: ModelField, value: Any, loc: tuple[str, ...], errors: list[Any]) -> Any:
    valid, found = field.validate(value, {}, loc=loc)
    errors += found or ()
    return valid


def answering(handle: Callable[[Request], Awaitable[Response]]) -> ASGIApp:
    """An app of a handler. What it raises is answered like what any app raises, before middleware sees it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        try:
            response = await handle(request)
        except Exception as error:
            await wrap_app_handling_exceptions(partial(_fail, error), request)(scope, receive, send)
        else:
            await response(scope, receive, send)

    return app


async def _fail(error: Exception, *_: object) -> None:
    raise error


def path_template(request: Request) -> str:
    """The template of the route that a request is for."""
    return str(request.scope["route"].path_format)


def query_fields(route: APIRoute) -> dict[str, FieldInfo]:
    """The query parameters of a route and of all that it depends on, by their names in the URL.

    A field of a model of the query has no kind of its own; those of paths, headers and cookies have one.
    """
    fields = get_flat_params(route.dependant)
    return {each.alias: each.field_info for each in fields if not isinstance(each.field_info, Path | Header | Cookie)}


def body_of(request: Request) -> Any:
    """The type of the body that the route of a request reads; `None` where it reads none."""
    field = getattr(request.scope.get("route"), "body_field", None)
    return None if field is None else field.field_info.annotation


def reads_form(request: Request) -> bool:
    """Whether the route of a request reads a form, and not JSON."""
    return reads_a_form(request.scope.get("route"))


def reads_a_form(route: Any) -> bool:
    field = getattr(route, "body_field", None)
    return field is not None and isinstance(field.field_info, Form)


STARLETTE_REFUSALS = {
    "Content Too Large": "The body is too large.",
}
"""What Starlette's middleware says in plain text, and what the shop says instead."""

UNREADABLE_BODY: dict[type, str] = {
    UnicodeDecodeError: "The body is not encoded as UTF-8.",
    RecursionError: "The body is nested too deeply.",
    ValueError: "The body contains a number with too many digits.",
}


def why_body_is_unreadable(error: HTTPException) -> str | None:
    """The reason for FastAPI's 400, which only says that there was an error parsing the body."""
    return UNREADABLE_BODY.get(type(error.__cause__))
