"""The OpenAPI document: what FastAPI derives from the routes, made true and pleasant to read.

FastAPI knows the models and the parameters. What it cannot know is said here, once for all routes: the shape of every
error, which routes merely look at a token and which ask for one, and that an answer always holds all of its fields.
"""

from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic.json_schema import models_json_schema

from api.auth import current_credentials, optional_credentials, staff
from api.database import read_session, write_session
from api.errors import PROBLEM_JSON, FieldProblem, Problem, ValidationProblem, problems, title_of
from api.models.base import MAX_ID
from api.transactions import claim_key

Json = dict[str, Any]

SUMMARY = "Users, a catalog, orders, payments, store credit and posts, over one HTTP API."

DESCRIPTION = """
The backend of a shop: a catalog with exact stock, orders that stay as they were placed, payments and refunds,
store credit kept by double entry, and posts.

**Signing in.** Press *Authorize* and give a username or e-mail address and a password, or get a token from
`POST /auth/token` and send it as `Authorization: Bearer …`. Programs use an API key from `POST /auth/keys` likewise.
*Staff* are users whose `is_superuser` is set. What belongs to somebody else does not exist: it answers 404.

**Money** is exact and in one currency, {currency}. Answers hold it as a string with two decimal places, `"79.99"`;
requests may also send a number. **Times** are UTC, as in RFC 3339.

**Lists** come in pages: `page` and `page_size` answer with totals. With `cursor` instead, empty at first and then each
answer's `next_cursor`, nothing is skipped or shown twice while rows come and go, and depth costs nothing.

**Trying again.** Send an `Idempotency-Key` of your own with an order, a payment, a refund, a transfer, a deposit or a
change of stock. The same request with the same key is done once, and answered again with the first answer.
A 503 did nothing: try again after `Retry-After` seconds.

**Errors** are `application/problem+json` (RFC 9457): `title`, `status` and `detail` say what is wrong, and a 422 lists
each field in `errors`. Unknown fields in a request are refused.
"""

TAGS = {
    "health": "Whether the shop is up, and what it runs on.",
    "auth": "Signing in and out, passwords, and API keys for programs.",
    "users": "Customers and staff. Anyone may sign up; users see themselves, staff see everybody.",
    "categories": "The shelves of the shop, nested.",
    "products": "What the shop sells, and how many of each it has.",
    "orders": "Placing an order takes its stock; cancelling gives it back. "
    "`pending → confirmed → shipped → delivered`, and `cancelled` up to `confirmed`.",
    "payments": "What was paid towards an order, and what was given back. Paid in full, an order is confirmed.",
    "accounts": "Store credit: one account a user, and the transactions between them.",
    "posts": "What authors publish. Drafts are seen by their authors and by staff alone.",
    "tags": "What posts are filed under.",
    "notifications": "What happened to one's orders and credit.",
}
"""In the order in which /docs shows them."""

TYPICAL = {
    400: "There was an error parsing the body",
    401: "The token is not valid, or not any more: sign in again.",
    403: "Only staff may do this.",
    404: "There is no such row.",
    409: "slug is already taken",
    413: "The body is too large.",
    429: "Too many attempts; try again later.",
    503: "The database is busy or cannot be reached; try again shortly.",
}
"""What a refusal may say, for the examples."""

RETRY_AFTER: Json = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "examples": [1]}}}

HEADERS: dict[int, Json] = {
    401: {"WWW-Authenticate": {"description": "How to sign in.", "schema": {"type": "string", "examples": ["Bearer"]}}},
    429: RETRY_AFTER,
    503: RETRY_AFTER,
}

REPLAYED = {
    "Idempotent-Replayed": {
        "description": "Set where this is the answer to an earlier request with the same `Idempotency-Key`.",
        "schema": {"type": "string", "enum": ["true"]},
    }
}

ASKING_THE_DATABASE: set[Callable[..., Any] | None] = {read_session, write_session, optional_credentials}
"""Whoever depends on one of these finds out where there is no database."""

MOMENT = "2026-05-12T09:30:00Z"
PATH_EXAMPLES = {"email": "john@example.com", "sku": "WH-001", "slug": "headphones"}
FORM_EXAMPLES = {"username": "johndoe", "password": "SecurePass123"}
WITHOUT_NUL = r"^[^\x00]*$"
NOT_BLANK = r"^[^\x00]*[^\x00\s\x85][^\x00]*$"
INITIALISMS = {"sku": "SKU", "api": "API"}


def install_openapi(app: FastAPI) -> None:
    """Have `app.openapi()` answer the finished document. Call it before the routers are included."""
    app.summary = SUMMARY
    app.description = DESCRIPTION.format(currency=app.state.settings.currency).strip()
    app.license_info = {"name": "MIT", "identifier": "MIT"}
    app.openapi_tags = [{"name": name, "description": text} for name, text in TAGS.items()]
    app.router.generate_unique_id_function = _operation_id
    derive = app.openapi

    def openapi() -> Json:
        known = app.openapi_schema
        document = derive()
        if document is not known:  # FastAPI keeps what it derived, and derives it anew where a route was added
            _finish(document, app)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _operation_id(route: APIRoute) -> str:
    """The function's name, so that a typed client reads like the code here."""
    return route.name


def _finish(document: Json, app: FastAPI) -> None:
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas.update(_problem_schemas())
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own shape, which no route answers with
        schemas.pop(name, None)
    components.setdefault("securitySchemes", {})["BearerToken"] = {
        "type": "http",
        "scheme": "bearer",
        "description": "An API key, or a token from `POST /auth/token`.",
    }
    for context in iter_route_contexts(app.routes):
        path = document["paths"].get(context.path_format, {})
        for method in context.methods or ():
            if method.lower() in path and isinstance(context.original_route, APIRoute):
                _finish_operation(path[method.lower()], context.summary, context.name or "", context.dependant)
    _require_what_is_always_there(document)
    _add_links(document)
    _finish_sign_in_form(schemas)
    _finish_texts(document)
    for node in _nodes(document):
        _finish_schema(node)
    components["schemas"] = dict(sorted(schemas.items()))


def _finish_sign_in_form(schemas: Json) -> None:
    """Of the OAuth2 password form, what the shop looks at: it knows users, but no clients and no scopes."""
    for schema in schemas.values():
        fields = schema.get("properties", {})
        if "grant_type" in fields:
            grant = {
                "type": "string",
                "const": "password",
                "default": "password",
                "title": fields["grant_type"]["title"],
            }
            filled = {
                name: {**fields[name], "minLength": 1, "examples": [example]} for name, example in FORM_EXAMPLES.items()
            }
            schema["properties"] = {"grant_type": grant, **filled}


def _add_links(document: Json) -> None:
    """Say where the id in an answer leads: from `POST /orders` to `POST /orders/{id}/cancel`, from a list likewise."""
    schemas = document["components"]["schemas"]
    for path, item in document["paths"].items():
        among = f"/{path.rpartition('/')[2]}/{{id}}"
        targets = [
            operation["operationId"]
            for other, operations in document["paths"].items()
            if f"{other}/".startswith(f"{among}/")
            for operation in operations.values()
        ]
        for operation in item.values():
            for status, response in operation["responses"].items():
                content = response.get("content", {}).get("application/json")
                where = _where_an_id_is(content["schema"], schemas) if content and status < "300" else None
                if where and targets:
                    linked = {"parameters": {"id": f"$response.body#{where}"}}
                    response["links"] = {name: {"operationId": name, **linked} for name in targets}


def _where_an_id_is(schema: Json, schemas: Json) -> str | None:
    """In an answer of this shape, as a JSON pointer."""
    choices = [schemas[each["$ref"].rpartition("/")[2]] for each in schema.get("anyOf", [schema]) if "$ref" in each]
    fields = {name for choice in choices for name in choice.get("properties", {})}
    return "/id" if "id" in fields else "/items/0/id" if "items" in fields else None


def _finish_texts(document: Json) -> None:
    """No text in a request may hold NUL and, white space around it being dropped, none that must not be empty is blank.

    The sign-in form is an exception: whatever stands in it, the answer is that it is wrong.
    """
    bodies = [each.get("requestBody", {}).get("content", {}) for each in _operations(document)]
    for name in _reachable(document, [each.get("application/json", {}) for each in bodies]):
        for node in _nodes(document["components"]["schemas"][name].get("properties", {})):
            _finish_text(node, NOT_BLANK if node.get("minLength") else WITHOUT_NUL)
    for operation in _operations(document):
        for parameter in operation.get("parameters", ()):
            _finish_text(parameter["schema"], WITHOUT_NUL)


def _finish_text(schema: Json, pattern: str) -> None:
    if schema.get("type") == "string" and not {"pattern", "format", "enum", "const"} & set(schema):
        schema["pattern"] = pattern


def _operations(document: Json) -> list[Json]:
    return [operation for path in document["paths"].values() for operation in path.values()]


def _finish_schema(node: Json) -> None:
    if node.get("type") == "string" and node.get("format") == "date-time":
        node.setdefault("examples", [MOMENT])
    if node.get("type") == "integer":  # FastAPI writes limits as floats, and so 2^63 for the greatest id
        for limit in ("minimum", "maximum"):
            if isinstance(node.get(limit), float):
                node[limit] = min(int(node[limit]), MAX_ID)


def _problem_schemas() -> Json:
    template = "#/components/schemas/{model}"
    models = [(each, "serialization") for each in (FieldProblem, Problem, ValidationProblem)]
    _, definitions = models_json_schema(models, ref_template=template)  # type: ignore[arg-type]
    schemas: Json = definitions["$defs"]
    return schemas


def _finish_operation(operation: Json, summary: str | None, name: str, dependant: Dependant) -> None:
    if summary is None:
        words = [INITIALISMS.get(word, word) for word in name.split("_")]
        operation["summary"] = " ".join([words[0].capitalize(), *words[1:]])
    for parameter in operation.get("parameters", ()):
        _finish_parameter(parameter)
    operation["tags"] = operation.get("tags", [])[-1:]  # the most particular: /docs would show it once under each
    calls = set(_calls(dependant))
    operation["responses"] = _declared(*_implied_refusals(operation, calls)) | operation["responses"]
    if "security" in operation:
        schemes = [{name: scopes} for each in operation["security"] for name, scopes in each.items()]
        nobody: list[Json] = [] if current_credentials in calls else [{}]
        operation["security"] = [*nobody, *schemes, {"BearerToken": []}]
    _finish_responses(operation)


def _implied_refusals(operation: Json, calls: set[Callable[..., Any] | None]) -> Iterator[int]:
    """What a route refuses by what it takes and depends on; its decorator names only what is its own."""
    if calls & ASKING_THE_DATABASE:
        yield 503
    if "requestBody" in operation:
        yield from (400, 413)
    if "security" in operation:
        yield 401
    if staff in calls:
        yield 403
    if claim_key in calls:
        yield 409


def _declared(*statuses: int) -> Json:
    return {str(status): response for status, response in problems(*statuses).items()}


def _calls(dependant: Dependant) -> Iterator[Callable[..., Any] | None]:
    yield dependant.call
    for each in dependant.dependencies:
        yield from _calls(each)


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
        schema.pop("description", None)
    if parameter["in"] == "path":
        if not parameter.get("description"):
            parameter["description"] = f"The {parameter['name'].replace('_', ' ')} of the one that is meant."
        if parameter["name"] in PATH_EXAMPLES and "examples" not in schema:
            schema["examples"] = [PATH_EXAMPLES[parameter["name"]]]
        if "examples" in schema:
            parameter.setdefault("example", schema["examples"][0])  # this one alone does Swagger UI fill in


def _finish_responses(operation: Json) -> None:
    responses = operation["responses"]
    has_input = bool(operation.get("parameters") or operation.get("requestBody"))
    if not has_input:
        responses.pop("422", None)
    elif "422" in responses:
        responses |= _declared(422)
    keyed = any(each["name"] == "Idempotency-Key" for each in operation.get("parameters", ()))
    for code, response in responses.items():
        status = HTTPStatus(int(code))
        if keyed and status < 300:
            response["headers"] = REPLAYED
        if response.get("description") in (None, "Successful Response"):
            response["description"] = title_of(status)
        if PROBLEM_JSON in response.get("content", {}):
            response["content"][PROBLEM_JSON].setdefault("example", _example(status))
            if status in HEADERS:
                response.setdefault("headers", HEADERS[status])
    operation["responses"] = dict(sorted(responses.items()))


def _example(status: HTTPStatus) -> Json:
    problem = Problem(title=title_of(status), status=status, detail=TYPICAL.get(status, status.description))
    if status != HTTPStatus.UNPROCESSABLE_ENTITY:
        return problem.model_dump()
    wrong = FieldProblem(field="body.price", message="Input should be greater than 0")
    detail = f"{wrong.field}: {wrong.message}"
    return ValidationProblem(**{**problem.model_dump(), "detail": detail}, errors=[wrong]).model_dump()


def _require_what_is_always_there(document: Json) -> None:
    """A default says that a request may leave a field out; an answer never does."""
    operations = _operations(document)
    requested = _reachable(document, [each.get("requestBody", {}) for each in operations])
    answered = _reachable(document, [each["responses"] for each in operations])
    for name in answered - requested:
        schema = document["components"]["schemas"][name]
        if "properties" in schema:
            schema["required"] = list(schema["properties"])


def _reachable(document: Json, roots: list[Json]) -> set[str]:
    found: set[str] = set()
    waiting: list[Any] = list(roots)
    while waiting:
        for node in _nodes(waiting.pop()):
            name = str(node.get("$ref", "")).rpartition("/")[2]
            if name and name not in found:
                found.add(name)
                waiting.append(document["components"]["schemas"][name])
    return found


def _nodes(value: Any) -> Iterator[Json]:
    """Every object within a JSON value."""
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _nodes(each)
