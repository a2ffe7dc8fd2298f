"""The OpenAPI document is what typed clients are made from and what /docs shows: it must be complete, and true."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from api.auth.callers import current_credentials, optional_credentials
from api.main import create_app
from api.settings import Settings
from api.web.problems import PROBLEM_JSON

Json = dict[str, Any]


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_app(Settings(database_url="sqlite:///unused.db"))


@pytest.fixture(scope="module")
def document(app: FastAPI) -> Json:
    return app.openapi()


@pytest.fixture(scope="module")
def operations(document: Json) -> dict[str, Json]:
    """Every operation, by what it is called in messages: `GET /users`."""
    return {
        f"{method.upper()} {path}": operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


class TestTheDocument:
    def test_is_valid_openapi_3_1(self, document: Json) -> None:
        assert document["openapi"].startswith("3.1.")
        assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []

    def test_says_what_the_shop_is(self, document: Json) -> None:
        info = document["info"]
        assert info["title"] == "Shop"
        assert info["version"]
        assert info["summary"]
        assert info["license"]["name"]
        for told in ("Authorize", "EUR", "cursor", "Idempotency-Key", PROBLEM_JSON):
            assert told in info["description"]

    def test_every_reference_resolves(self, document: Json) -> None:
        for node in nodes(document):
            if "$ref" in node:
                assert isinstance(resolved(document, node), dict)

    def test_holds_no_schema_that_nothing_refers_to(self, document: Json) -> None:
        used = {node["$ref"].rpartition("/")[2] for node in nodes(document) if "$ref" in node}
        assert set(document["components"]["schemas"]) - used == set()

    def test_is_derived_once(self, app: FastAPI, document: Json) -> None:
        assert app.openapi() is document

    def test_follows_a_route_that_is_added_later(self) -> None:
        app = create_app(Settings(database_url="sqlite:///unused.db"))
        before = app.openapi()

        async def late_arrival() -> None:
            """Come late."""

        app.add_api_route("/late", late_arrival)
        assert "/late" not in before["paths"]
        assert app.openapi()["paths"]["/late"]["get"]["summary"] == "Late arrival"

    def test_limits_of_integers_are_integers(self, document: Json) -> None:
        limits = [
            node[limit]
            for node in nodes(document)
            if node.get("type") == "integer"
            for limit in ("minimum", "maximum")
            if limit in node
        ]
        assert limits
        assert all(isinstance(limit, int) and abs(limit) < 2**63 for limit in limits)


class TestEveryOperation:
    def test_has_a_tag_that_is_described(self, document: Json, operations: dict[str, Json]) -> None:
        described = [tag["name"] for tag in document["tags"]]
        assert all(tag["description"] for tag in document["tags"])
        assert len(described) == len(set(described))
        used = {name: operation.get("tags", []) for name, operation in operations.items()}
        assert {name: tags for name, tags in used.items() if len(tags) != 1} == {}
        assert {tag for tags in used.values() for tag in tags} == set(described)

    def test_has_a_summary_and_a_description(self, operations: dict[str, Json]) -> None:
        for name, operation in operations.items():
            assert operation.get("description"), f"{name} has no docstring"
            assert re.fullmatch(r"[A-Z][^A-Z]*(?:\b(?:SKU|API)\b[^A-Z]*)*", operation["summary"]), name

    def test_has_an_id_of_its_own(self, operations: dict[str, Json]) -> None:
        ids = [operation["operationId"] for operation in operations.values()]
        assert sorted(ids) == sorted(set(ids))
        assert [each for each in ids if not re.fullmatch(r"[a-z][a-z_]+", each)] == []

    def test_describes_its_parameters(self, operations: dict[str, Json]) -> None:
        silent = [
            f"{name}: {parameter['name']}"
            for name, operation in operations.items()
            for parameter in operation.get("parameters", [])
            if not parameter.get("description")
        ]
        assert silent == []

    def test_says_what_stands_in_its_path(self, operations: dict[str, Json]) -> None:
        for name, operation in operations.items():
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "path":
                    assert parameter.get("example"), f"{name}: {parameter['name']} has no example"

    def test_takes_no_null_outside_of_a_body(self, operations: dict[str, Json]) -> None:
        for name, operation in operations.items():
            for parameter in operation.get("parameters", []):
                schema = parameter["schema"]
                assert {"type": "null"} not in schema.get("anyOf", []), f"{name}: {parameter['name']}"
                assert schema.get("default", ...) is not None, f"{name}: {parameter['name']}"

    def test_answers_every_error_in_the_one_shape(self, operations: dict[str, Json]) -> None:
        for name, operation in operations.items():
            errors = {status: each for status, each in operation["responses"].items() if status >= "400"}
            for status, response in errors.items():
                shape = "ValidationProblem" if status == "422" else "Problem"
                assert list(response["content"]) == [PROBLEM_JSON], f"{name}: {status}"
                content = response["content"][PROBLEM_JSON]
                assert content["schema"] == {"$ref": f"#/components/schemas/{shape}"}, f"{name}: {status}"
                assert content["example"]["status"] == int(status), f"{name}: {status}"

    def test_declares_a_422_where_there_is_something_to_get_wrong(self, operations: dict[str, Json]) -> None:
        for name, operation in operations.items():
            takes = bool(operation.get("parameters") or operation.get("requestBody"))
            assert ("422" in operation["responses"]) is takes, name

    def test_has_one_kind_of_success(self, operations: dict[str, Json]) -> None:
        for name, operation in operations.items():
            successes = [status for status in operation["responses"] if status < "300"]
            assert len(successes) == 1, name

    def test_says_what_it_answers(self, operations: dict[str, Json]) -> None:
        for name, operation in operations.items():
            for status, response in operation["responses"].items():
                assert response["description"] != "Successful Response"
                schemas = [content.get("schema") for content in response.get("content", {}).values()]
                assert schemas or status == "204", f"{name}: {status}"
                assert all(schemas), f"{name}: {status} is of no known shape"


class TestTexts:
    """That a schema forbids what is refused, so that a client can know before it asks."""

    def test_which_no_database_keeps_are_forbidden(self, document: Json) -> None:
        assert not fits(document, "ProductCreate", "description", "a\0b")
        assert fits(document, "ProductCreate", "description", "")

    @pytest.mark.parametrize("name", ["", " ", "\t\n", "\u3000"])
    def test_which_are_blank_are_forbidden_where_there_must_be_one(self, document: Json, name: str) -> None:
        assert not fits(document, "ProductCreate", "name", name)
        assert fits(document, "ProductCreate", "name", f"{name}a{name}")

    @pytest.mark.parametrize("password", ["securepass123", "SecurePass", "12345678", "SecurePass123\0"])
    def test_which_are_no_passwords_are_forbidden(self, document: Json, password: str) -> None:
        assert not fits(document, "UserCreate", "password", password)
        assert fits(document, "UserCreate", "password", "1\nsecurE pass")

    @pytest.mark.parametrize("amount", ["", "0", "000.00", "1.", "+1", "1e3", "12345678901", 0])
    def test_and_numbers_which_are_no_amounts_are_forbidden(self, document: Json, amount: Any) -> None:
        assert not fits(document, "DepositCreate", "amount", amount)
        assert fits(document, "DepositCreate", "amount", "00.01")

    def test_in_urls_say_what_they_must_look_like(self, operations: dict[str, Json]) -> None:
        declared = {each["name"]: each["schema"] for each in operations["GET /products"]["parameters"]}
        assert not OAS31Validator(declared["search"]).is_valid("a\0b")
        assert not OAS31Validator(declared["cursor"]).is_valid("no cursor")
        for text in ("", "+1", "cheap"):
            assert not OAS31Validator(declared["min_price"]).is_valid(text)
        assert OAS31Validator(declared["min_price"]).is_valid("0.00")

    def test_in_the_sign_in_form_are_not_empty(self, document: Json) -> None:
        assert not fits(document, "Body_sign_in", "password", "")


class TestLinks:
    def test_lead_from_an_id_to_what_can_be_done_with_it(self, operations: dict[str, Json]) -> None:
        made = operations["POST /orders"]["responses"]["201"]["links"]
        listed = operations["GET /notifications"]["responses"]["200"]["links"]
        assert made["cancel_order"] == {"operationId": "cancel_order", "parameters": {"id": "$response.body#/id"}}
        assert listed["mark_notification_read"]["parameters"] == {"id": "$response.body#/items/0/id"}
        assert "refund_payment" in operations["POST /orders/{id}/payments"]["responses"]["201"]["links"]

    def test_lead_to_operations_that_take_an_id(self, operations: dict[str, Json]) -> None:
        taking = {
            each["operationId"]
            for each in operations.values()
            if any(parameter["name"] == "id" for parameter in each.get("parameters", ()))
        }
        for name, operation in operations.items():
            for response in operation["responses"].values():
                assert set(response.get("links", {})) <= taking, name


class TestSigningIn:
    def test_is_declared_where_a_token_is_asked_for(self, app: FastAPI, operations: dict[str, Json]) -> None:
        for name, dependant in dependants(app):
            if current_credentials in calls(dependant):
                schemes = {scheme for each in operations[name]["security"] for scheme in each}
                assert schemes == {"OAuth2PasswordBearer", "BearerToken"}, name
                assert {} not in operations[name]["security"], name
                assert "401" in operations[name]["responses"], name

    def test_is_optional_where_a_token_is_only_looked_at(self, app: FastAPI, operations: dict[str, Json]) -> None:
        for name, dependant in dependants(app):
            found = set(calls(dependant))
            if optional_credentials in found and current_credentials not in found:
                assert {} in operations[name]["security"], name
                assert "401" in operations[name]["responses"], f"{name}: a wrong token is refused"

    def test_is_not_declared_elsewhere(self, app: FastAPI, operations: dict[str, Json]) -> None:
        for name, dependant in dependants(app):
            if optional_credentials not in calls(dependant):
                assert "security" not in operations[name], name

    def test_schemes_exist(self, document: Json, operations: dict[str, Json]) -> None:
        asked_for = {scheme for each in operations.values() for one in each.get("security", []) for scheme in one}
        assert asked_for == set(document["components"]["securitySchemes"])


class TestEveryExample:
    """Swagger UI fills a request in from these, so that Execute can be pressed at once."""

    def test_of_a_request_is_realistic(self, document: Json, operations: dict[str, Json]) -> None:
        for name, operation in operations.items():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                if "example" not in content:
                    assert list(without_example(document, content["schema"], name)) == []

    def test_of_an_answer_is_realistic(self, document: Json, operations: dict[str, Json]) -> None:
        for name, operation in operations.items():
            for status, response in operation["responses"].items():
                for content in response.get("content", {}).values():
                    if status < "300":
                        assert list(without_example(document, content["schema"], name)) == []

    def test_obeys_the_schema_that_it_stands_in(self, document: Json) -> None:
        for node in nodes(document["components"]["schemas"]):
            for example in node.get("examples", []) if is_schema(node) else []:
                against = {**node, "components": document["components"]}
                errors = [error.message for error in OAS31Validator(against).iter_errors(example)]
                assert errors == [], node

    def test_holds_every_field_of_an_answer(self, document: Json, operations: dict[str, Json]) -> None:
        """What an answer always holds is required, so that a typed client need not ask whether it is there."""
        reads = [name for name in document["components"]["schemas"] if name.endswith("Read")]
        assert reads
        for name in reads:
            schema = document["components"]["schemas"][name]
            assert schema["required"] == list(schema["properties"]), name


def nodes(value: Any) -> Iterator[Json]:
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(each)


def is_schema(node: Json) -> bool:
    return "examples" in node and bool({"type", "anyOf", "$ref"} & set(node))


def resolved(document: Json, schema: Json) -> Json:
    target: Any = document
    for part in schema["$ref"].removeprefix("#/").split("/"):
        target = target[part]
    found: Json = target
    return found


def fits(document: Json, name: str, field: str, value: Any) -> bool:
    """Whether the field of a schema takes a value."""
    schema = document["components"]["schemas"][name]["properties"][field]
    return bool(OAS31Validator({**schema, "components": document["components"]}).is_valid(value))


def calls(dependant: Dependant) -> Iterator[Any]:
    yield dependant.call
    for each in dependant.dependencies:
        yield from calls(each)


def dependants(app: FastAPI) -> Iterator[tuple[str, Dependant]]:
    for context in iter_route_contexts(app.routes):
        if isinstance(context.original_route, APIRoute) and context.include_in_schema:
            for method in context.methods or ():
                yield f"{method} {context.path_format}", context.dependant


def without_example(document: Json, schema: Json, where: str, seen: tuple[str, ...] = ()) -> Iterator[str]:
    """Where in a schema Swagger UI would have to make a value up."""
    if {"examples", "example", "default", "enum", "const"} & set(schema):
        return
    if "$ref" in schema:
        if schema["$ref"] not in seen:
            yield from without_example(document, resolved(document, schema), where, (*seen, schema["$ref"]))
    elif "anyOf" in schema:
        for choice in schema["anyOf"]:
            yield from without_example(document, choice, where, seen)
    elif schema.get("type") == "array":
        yield from without_example(document, schema["items"], f"{where}[]", seen)
    elif "properties" in schema:
        for name, each in schema["properties"].items():
            yield from without_example(document, each, f"{where}.{name}", seen)
    elif schema.get("type") not in ("boolean", "null"):
        yield where
