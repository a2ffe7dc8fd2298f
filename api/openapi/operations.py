"""The operations of the document: which errors each can answer, and everything that FastAPI leaves empty."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from http import HTTPStatus
from typing import Any

from api.auth.callers import DEMAND_TOKEN, READ_TOKEN, staff
from api.openapi.framework_internals import DocumentedRoute
from api.openapi.nodes import Json
from api.openapi.texts import (
    ERROR_HEADERS,
    ETAG_EXAMPLE,
    ETAG_HEADER,
    IF_MATCH_DESCRIPTION,
    IF_NONE_MATCH_DESCRIPTION,
    INITIALISMS,
    KEY_DESCRIPTION,
    KEY_EXAMPLE,
    PATH_EXAMPLES,
    REPLAYED_HEADER,
    REQUEST_ID_EXAMPLE,
    REQUEST_ID_HEADER,
    TYPICAL_DETAILS,
)
from api.web.idempotency import KEY_PATTERN, MAX_KEY_LENGTH
from api.web.preconditions import IF_MATCH, IF_NONE_MATCH, TAGS_PATTERN
from api.web.problems import PROBLEM_JSON, FieldProblem, Problem, ValidationProblem, problems, title_of
from api.web.sessions import read_session, write_session
from api.web.stored_answers import HEADER


def _header(name: str, description: str, **schema: Any) -> Json:
    typed = {"type": "string", **schema, "title": name}
    return {"name": name, "in": "header", "required": False, "description": description, "schema": typed}


KEY_HEADER = _header(
    HEADER,
    KEY_DESCRIPTION,
    minLength=1,
    maxLength=MAX_KEY_LENGTH,
    pattern=KEY_PATTERN,
    examples=[KEY_EXAMPLE],
)
IF_MATCH_HEADER = _header(IF_MATCH, IF_MATCH_DESCRIPTION, pattern=TAGS_PATTERN, examples=[ETAG_EXAMPLE])
IF_NONE_MATCH_HEADER = _header(IF_NONE_MATCH, IF_NONE_MATCH_DESCRIPTION, pattern=TAGS_PATTERN, examples=[ETAG_EXAMPLE])

DATABASE_DEPENDENCIES: frozenset[Callable[..., Any]] = READ_TOKEN | {read_session, write_session}
"""A route that depends on one of these fails where the database does not answer."""


def finish_operation(operation: Json, route: DocumentedRoute) -> None:
    if route.summary is None:
        summary = _words(route.name)
        operation["summary"] = summary[0].upper() + summary[1:]
    operation.setdefault("parameters", []).extend(deepcopy(list(_headers(route))))
    for parameter in operation.get("parameters", ()):
        _finish_parameter(parameter)
    operation["responses"] = _declared(*_implied_refusals(operation, route)) | operation["responses"]
    if "security" in operation:
        schemes = [{name: scopes} for each in operation["security"] for name, scopes in each.items()]
        nobody: list[Json] = [] if route.dependencies & DEMAND_TOKEN else [{}]
        operation["security"] = [*nobody, *schemes, {"BearerToken": []}]
    else:
        operation["security"] = []
    _finish_responses(operation, route)


def _headers(route: DocumentedRoute) -> Iterator[Json]:
    """The headers that a route takes."""
    if _takes_key(route):
        yield KEY_HEADER
    if route.preconditions.row is not None:
        yield IF_MATCH_HEADER
    if route.preconditions.takes_if_none_match:
        yield IF_NONE_MATCH_HEADER


def _words(name: str) -> str:
    """A name in Python as English words."""
    return " ".join(INITIALISMS.get(word, word) for word in name.split("_"))


def _implied_refusals(operation: Json, route: DocumentedRoute) -> Iterator[int]:
    """The errors that follow from what a route takes and depends on; its decorator names only its own."""
    dependencies = route.dependencies
    if route.answers_read or dependencies & DATABASE_DEPENDENCIES:
        yield 503
    if "requestBody" in operation:
        yield from (413, 415)
    if "security" in operation:
        yield 401
    if staff in dependencies:
        yield 403
    if _takes_key(route):
        yield 409
    if route.preconditions.row is not None:
        yield 412
    yield 400  # for a header that the route does not take


def _takes_key(route: DocumentedRoute) -> bool:
    return route.keys is not None and route.keys.refusal is None


def _declared(*statuses: int) -> Json:
    return {str(status): response for status, response in problems(*statuses).items()}


def _finish_parameter(parameter: Json) -> None:
    """A parameter can be left out, but it cannot be null."""
    schema = parameter["schema"]
    choices = [each for each in schema.pop("anyOf", ()) if each != {"type": "null"}]
    if len(choices) == 1:
        schema.update({**choices[0], **schema})
    elif choices:
        schema["anyOf"] = choices
    if schema.get("default", ...) is None:
        del schema["default"]
    if "description" in schema:
        parameter.setdefault("description", schema.pop("description"))
    if parameter["in"] == "query" and not parameter.get("required"):
        parameter["allowEmptyValue"] = True  # left empty, it counts as absent: see `web/queries.py`
    if parameter["in"] == "path":
        if not parameter.get("description"):
            parameter["description"] = f"The {_words(parameter['name'])} of the row."
        if parameter["name"] in PATH_EXAMPLES and "examples" not in schema:
            schema["examples"] = [PATH_EXAMPLES[parameter["name"]]]
        if "examples" in schema:
            parameter.setdefault("example", schema["examples"][0])  # the only one that Swagger UI fills in


def _finish_responses(operation: Json, route: DocumentedRoute) -> None:
    responses = operation["responses"]
    responses |= _declared(422)  # every route refuses a query parameter that it does not know
    if route.preconditions.takes_if_none_match:
        responses["304"] = {"description": title_of(304)}
    refusals = (route.keys and route.keys.refusal, route.preconditions.refusal_of_match)
    responses["400"]["description"] = " ".join((f"{title_of(400)}.", *filter(None, refusals)))
    for code, response in responses.items():
        status = HTTPStatus(int(code))
        headers: Json = {**REQUEST_ID_HEADER}
        if _takes_key(route) and status < 300:
            headers |= REPLAYED_HEADER
        if route.preconditions.has_etag and status < 400:
            headers |= ETAG_HEADER
        response["headers"] = headers
        if response.get("description") in (None, "Successful Response"):
            response["description"] = title_of(status)
        if PROBLEM_JSON in response.get("content", {}):
            response["content"][PROBLEM_JSON].setdefault("example", _example(status))
            if status in ERROR_HEADERS:
                headers |= ERROR_HEADERS[status]
    operation["responses"] = dict(sorted(responses.items()))


def _example(status: HTTPStatus) -> Json:
    detail = TYPICAL_DETAILS.get(status, status.description)
    problem = Problem(title=title_of(status), status=status, detail=detail, request_id=REQUEST_ID_EXAMPLE)
    if status != HTTPStatus.UNPROCESSABLE_ENTITY:
        return problem.model_dump()
    wrong = FieldProblem(field="body.price", message="Input should be greater than 0")
    detail = f"{wrong.field}: {wrong.message}"
    return ValidationProblem(**{**problem.model_dump(), "detail": detail}, errors=[wrong]).model_dump()
