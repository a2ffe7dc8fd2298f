"""The schemas of the document, made as strict and as full as the app is."""

from pydantic.json_schema import models_json_schema

from api.models.texts import ONLY_IN_REQUESTS
from api.models.types import MAX_ID, WORDS_FOR_PATTERNS
from api.openapi.nodes import Json, nodes, operations, reachable
from api.openapi.texts import EXAMPLE_TIME, FORM_EXAMPLES
from api.web.problems import FieldProblem, Problem, ValidationProblem

PREFIX = "#/components/schemas/"
WITHOUT_NUL = r"^[^\x00]*$"

MAX_INT32 = 2**31 - 1
"""What generated clients of many languages take for the greatest integer, unless its format says otherwise."""


def finish_schemas(document: Json) -> None:
    schemas = document["components"]["schemas"]
    _require_what_is_always_there(document)
    _finish_sign_in_form(schemas)
    _name_by_title(document)
    _finish_texts(document)
    for node in nodes(document):
        _finish_node(node)


def problem_schemas() -> Json:
    models = [(each, "serialization") for each in (FieldProblem, Problem, ValidationProblem)]
    _, definitions = models_json_schema(models, ref_template=f"{PREFIX}{{model}}")  # type: ignore[arg-type]
    schemas: Json = definitions["$defs"]
    return schemas


def _finish_sign_in_form(schemas: Json) -> None:
    """Keep the fields of the OAuth2 password form that the shop reads: it knows users, but no clients and no scopes."""
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
            schema |= {"title": "SignInForm", "properties": {"grant_type": grant, **filled}}


def _name_by_title(document: Json) -> None:
    """Call each schema what its class is called: `ProductPage`, where FastAPI writes `Page_ProductRead_`."""
    schemas = document["components"]["schemas"]
    names = {f"{PREFIX}{name}": f"{PREFIX}{schema.get('title', name)}" for name, schema in schemas.items()}
    document["components"]["schemas"] = {
        names[f"{PREFIX}{name}"].removeprefix(PREFIX): schema for name, schema in schemas.items()
    }
    for node in nodes(document):
        if node.get("$ref") in names:
            node["$ref"] = names[node["$ref"]]


def _finish_texts(document: Json) -> None:
    """No text in a request may hold NUL, and what else it may not hold (see `models/texts.py`) is said of no answer.

    The sign-in form is an exception: whatever it holds, the answer is that the password is wrong.
    """
    bodies = [each.get("requestBody", {}).get("content", {}) for each in operations(document)]
    for name in reachable(document, [each.get("application/json", {}) for each in bodies]):
        for node in nodes(document["components"]["schemas"][name].get("properties", {})):
            _finish_text(node)
    requested = reachable(document, [each.get("requestBody", {}) for each in operations(document)])
    for name in document["components"]["schemas"].keys() - requested:
        for node in nodes(document["components"]["schemas"][name].get("properties", {})):
            if node.get("pattern") in ONLY_IN_REQUESTS:
                del node["pattern"]
    for operation in operations(document):
        for parameter in operation.get("parameters", ()):
            _finish_text(parameter["schema"])


def _finish_text(schema: Json) -> None:
    if schema.get("type") == "string" and not {"pattern", "format", "enum", "const"} & set(schema):
        schema["pattern"] = WITHOUT_NUL


def _finish_node(node: Json) -> None:
    if node.get("type") == "string" and node.get("format") == "date-time":
        node.setdefault("examples", [EXAMPLE_TIME])
    if words := WORDS_FOR_PATTERNS.get(str(node.get("pattern"))):
        node.setdefault("description", f"{words[0].upper()}{words[1:]}.")
    if node.get("type") == "integer":  # FastAPI writes limits as floats, and so 2^63 for the greatest id
        for limit in ("minimum", "maximum"):
            if isinstance(node.get(limit), float):
                node[limit] = min(int(node[limit]), MAX_ID)
        if node.get("maximum", MAX_ID) > MAX_INT32:
            node["format"] = "int64"


def _require_what_is_always_there(document: Json) -> None:
    """A default means that a request may leave a field out, but an answer never does."""
    requested = reachable(document, [each.get("requestBody", {}) for each in operations(document)])
    answered = reachable(document, [document["webhooks"], *(each["responses"] for each in operations(document))])
    for name in answered - requested:
        schema = document["components"]["schemas"][name]
        if "properties" in schema:
            schema["required"] = list(schema["properties"])
