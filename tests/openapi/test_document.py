"""The OpenAPI document, from which typed clients and /docs are made, is complete and true."""

import re
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
import re2  # type: ignore[import-untyped]
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import StringConstraints, TypeAdapter

from api.auth.callers import DEMAND_TOKEN, READ_TOKEN, current_user
from api.main import create_app
from api.openapi.framework_internals import documented_routes
from api.openapi.nodes import reachable
from api.settings import Settings
from api.web.problems import PROBLEM_JSON

Json = dict[str, Any]


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_app(Settings(_env_file=None, database_url="sqlite:///unused.db"))


@pytest.fixture(scope="module")
def document(app: FastAPI) -> Json:
    return app.openapi()


@pytest.fixture(scope="module")
def operations(document: Json) -> dict[str, Json]:
    """Every operation, by its method and path: `GET /users`."""
    return {
        f"{method.upper()} {path}": operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


class TestDocument:
    def test_the_document_is_valid_openapi_3_1(self, document: Json) -> None:
        assert document["openapi"].startswith("3.1.")
        assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []

    def test_the_document_says_what_the_shop_is(self, document: Json) -> None:
        info = document["info"]
        assert info["title"] == "Shop"
        assert info["version"]
        assert info["summary"]
        assert info["license"]["name"]
        for text in ("Authorize", "EUR", "cursor", "Idempotency-Key", PROBLEM_JSON):
            assert text in info["description"]

    def test_every_reference_resolves(self, document: Json) -> None:
        for node in nodes(document):
            if "$ref" in node:
                assert isinstance(resolved(document, node), dict)

    def test_every_schema_is_referred_to(self, document: Json) -> None:
        used = {node["$ref"].rpartition("/")[2] for node in nodes(document) if "$ref" in node}
        assert set(document["components"]["schemas"]) - used == set()

    def test_the_document_is_made_once(self, app: FastAPI, document: Json) -> None:
        assert app.openapi() is document

    def test_a_route_that_is_added_later_is_in_the_document(self) -> None:
        app = create_app(Settings(_env_file=None, database_url="sqlite:///unused.db"))
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

    def test_integers_that_need_64_bits_say_so(self, document: Json) -> None:
        """Clients of Java, Go, C# and Rust would take an id for one of 32 bits."""
        integers = [node for node in nodes(document) if node.get("type") == "integer"]
        assert integers
        assert [
            each for each in integers if (each.get("maximum", 2**63) >= 2**31) != (each.get("format") == "int64")
        ] == []

    def test_the_regular_expressions_of_every_language_read_its_patterns(self, document: Json) -> None:
        patterns = {node["pattern"] for node in nodes(document) if isinstance(node.get("pattern"), str)}
        assert len(patterns) > 10
        for each in patterns:
            re2.compile(each)
            TypeAdapter(Annotated[str, StringConstraints(pattern=each)])  # which are those of Rust

    def test_no_tag_is_of_routes_and_of_webhooks(self, document: Json, operations: dict[str, Json]) -> None:
        """Generators write a file for each tag, and one would take the place of the other."""
        sent = {tag for item in document["webhooks"].values() for tag in item["post"]["tags"]}
        assert sent & {tag for operation in operations.values() for tag in operation["tags"]} == set()


class TestOperation:
    def test_every_operation_has_one_tag_with_a_description(self, document: Json, operations: dict[str, Json]) -> None:
        described = [tag["name"] for tag in document["tags"]]
        assert [tag["name"] for tag in document["tags"] if not tag["description"]] == []
        assert len(described) == len(set(described))
        used = {name: operation.get("tags", []) for name, operation in operations.items()}
        assert {name: tags for name, tags in used.items() if len(tags) != 1} == {}
        assert {tag for tags in used.values() for tag in tags} == set(described)

    def test_every_operation_has_a_summary_and_a_description(self, operations: dict[str, Json]) -> None:
        for name, operation in operations.items():
            assert operation.get("description"), f"{name} has no docstring"
            assert re.fullmatch(r"[A-Z][^A-Z]*(?:\b(?:SKU|API)\b[^A-Z]*)*", operation["summary"]), name

    def test_every_operation_has_a_unique_id(self, operations: dict[str, Json]) -> None:
        ids = [operation["operationId"] for operation in operations.values()]
        assert sorted(ids) == sorted(set(ids))
        assert [each for each in ids if not re.fullmatch(r"[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*", each)] == []

    def test_an_id_is_the_tag_and_the_function_without_the_noun(self, operations: dict[str, Json]) -> None:
        assert operations["POST /orders"]["operationId"] == "orders.place"
        assert operations["GET /categories/by-slug/{slug}"]["operationId"] == "categories.read_by_slug"
        assert operations["POST /webhook-deliveries/{id}/replay"]["operationId"] == "webhook_deliveries.replay"
        for name, operation in operations.items():
            tag = operation["tags"][0].replace("-", "_")
            assert operation["operationId"].startswith(f"{tag}."), name

    def test_every_schema_is_named_like_a_class(self, document: Json) -> None:
        named = document["components"]["schemas"]
        assert {"ProductPage", "ProductCursorPage", "OrderWithItemsPage", "EventFeed", "SignInForm"} <= named.keys()
        assert [each for each in named if not re.fullmatch(r"([A-Z][a-z]+)+", each)] == []

    def test_every_reference_leads_to_a_schema(self, document: Json) -> None:
        assert (
            reachable(document, [document["paths"], document["webhooks"]]) == document["components"]["schemas"].keys()
        )

    def test_every_parameter_is_described(self, operations: dict[str, Json]) -> None:
        undescribed = [
            f"{name}: {parameter['name']}"
            for name, operation in operations.items()
            for parameter in operation.get("parameters", [])
            if not parameter.get("description")
        ]
        assert undescribed == []

    def test_every_path_parameter_has_an_example(self, operations: dict[str, Json]) -> None:
        for name, operation in operations.items():
            for parameter in operation.get("parameters", []):
                if parameter["in"] == "path":
                    assert parameter.get("example"), f"{name}: {parameter['name']} has no example"

    def test_no_parameter_takes_null(self, operations: dict[str, Json]) -> None:
        for name, operation in operations.items():
            for parameter in operation.get("parameters", []):
                schema = parameter["schema"]
                assert {"type": "null"} not in schema.get("anyOf", []), f"{name}: {parameter['name']}"
                assert schema.get("default", ...) is not None, f"{name}: {parameter['name']}"

    def test_every_error_is_a_problem_with_an_example(self, operations: dict[str, Json]) -> None:
        for name, operation in operations.items():
            errors = {status: each for status, each in operation["responses"].items() if status >= "400"}
            for status, response in errors.items():
                shape = "ValidationProblem" if status == "422" else "Problem"
                assert list(response["content"]) == [PROBLEM_JSON], f"{name}: {status}"
                content = response["content"][PROBLEM_JSON]
                assert content["schema"] == {"$ref": f"#/components/schemas/{shape}"}, f"{name}: {status}"
                assert content["example"]["status"] == int(status), f"{name}: {status}"

    def test_a_422_is_declared_for_every_operation(self, operations: dict[str, Json]) -> None:
        """Each refuses a query parameter that it does not know."""
        assert [name for name, operation in operations.items() if "422" not in operation["responses"]] == []

    def test_an_optional_parameter_of_a_query_may_be_left_empty(self, operations: dict[str, Json]) -> None:
        for name, operation in operations.items():
            for parameter in operation.get("parameters", []):
                optional = parameter["in"] == "query" and not parameter["required"]
                assert parameter.get("allowEmptyValue", False) is optional, f"{name}: {parameter['name']}"

    def test_every_operation_has_one_successful_status(self, operations: dict[str, Json]) -> None:
        for name, operation in operations.items():
            successes = [status for status in operation["responses"] if status < "300"]
            assert len(successes) == 1, name

    def test_every_answer_has_a_description_and_a_schema(self, operations: dict[str, Json]) -> None:
        for name, operation in operations.items():
            for status, response in operation["responses"].items():
                assert response["description"] != "Successful Response"
                schemas = [content.get("schema") for content in response.get("content", {}).values()]
                assert schemas or status in {"204", "304"}, f"{name}: {status}"
                assert all(schemas), f"{name}: {status} has content without a schema"


class TestSchemaOfValue:
    """A schema forbids what the shop refuses, so that a client knows before it sends a request."""

    def test_a_text_with_a_nul_is_forbidden(self, document: Json) -> None:
        assert not fits(document, "ProductCreate", "description", "a\0b")
        assert fits(document, "ProductCreate", "description", "")

    @pytest.mark.parametrize("name", ["", " ", "\t\n", "\u3000"], ids=ascii)
    def test_a_blank_name_is_forbidden(self, document: Json, name: str) -> None:
        assert not fits(document, "ProductCreate", "name", name)
        assert fits(document, "ProductCreate", "name", f"{name}a{name}")

    @pytest.mark.parametrize("password", ["securepass123", "SecurePass", "12345678", "SecurePass123\0"], ids=ascii)
    def test_a_weak_password_is_forbidden(self, document: Json, password: str) -> None:
        assert not fits(document, "UserCreate", "password", password)
        assert fits(document, "UserCreate", "password", "1\nsecurE pass")

    @pytest.mark.parametrize("amount", ["", "0", "000.00", "1.", "+1", "1e3", "12345678901", 0], ids=repr)
    def test_a_malformed_amount_is_forbidden(self, document: Json, amount: Any) -> None:
        assert not fits(document, "DepositCreate", "amount", amount)
        assert fits(document, "DepositCreate", "amount", "00.01")

    def test_malformed_values_in_urls_are_forbidden(self, operations: dict[str, Json]) -> None:
        declared = {each["name"]: each["schema"] for each in operations["GET /products"]["parameters"]}
        assert not OAS31Validator(declared["search"]).is_valid("a\0b")
        assert not OAS31Validator(declared["cursor"]).is_valid("not a cursor")
        for text in ("", "+1", "cheap"):
            assert not OAS31Validator(declared["min_price"]).is_valid(text)
        assert OAS31Validator(declared["min_price"]).is_valid("0.00")

    def test_an_empty_password_in_the_sign_in_form_is_forbidden(self, document: Json) -> None:
        assert not fits(document, "SignInForm", "password", "")


class TestLink:
    def test_links_lead_from_the_id_of_a_row_to_its_operations(self, operations: dict[str, Json]) -> None:
        made = operations["POST /orders"]["responses"]["201"]["links"]
        listed = operations["GET /notifications"]["responses"]["200"]["links"]
        assert made["orders.cancel"] == {"operationId": "orders.cancel", "parameters": {"id": "$response.body#/id"}}
        assert listed["notifications.mark_read"]["parameters"] == {"id": "$response.body#/items/0/id"}
        assert "payments.refund" in operations["POST /orders/{id}/payments"]["responses"]["201"]["links"]

    def test_every_link_leads_to_an_operation_that_takes_an_id(self, operations: dict[str, Json]) -> None:
        taking = {
            each["operationId"]
            for each in operations.values()
            if any(parameter["name"] == "id" for parameter in each.get("parameters", ()))
        }
        for name, operation in operations.items():
            for response in operation["responses"].values():
                assert set(response.get("links", {})) <= taking, name


class TestDocumentedRoutes:
    """FastAPI promises neither a list of the routes of included routers nor the tree of their dependencies."""

    def test_every_route_of_the_document_is_listed(self, app: FastAPI, operations: dict[str, Json]) -> None:
        listed = {f"{method.upper()} {each.path}" for each in documented_routes(app) for method in each.methods}
        assert operations.keys() <= listed, f"{sorted(operations.keys() - listed)} are not listed"

    def test_a_route_has_its_name_its_summary_and_all_its_dependencies(self, app: FastAPI) -> None:
        reads = {each.path: each for each in documented_routes(app) if "get" in each.methods}
        assert reads["/orders"].name == "list_orders"
        assert current_user in reads["/orders"].dependencies
        assert current_user in reads["/orders/user/{user_id}"].dependencies
        assert current_user in reads["/users/{id}"].dependencies, "a dependency of a dependency is missing"


class TestSecurity:
    def test_an_operation_that_needs_a_token_declares_both_schemes(
        self, app: FastAPI, operations: dict[str, Json]
    ) -> None:
        for name, dependant in dependants(app):
            if DEMAND_TOKEN.intersection(calls(dependant)):
                schemes = {scheme for each in operations[name]["security"] for scheme in each}
                assert schemes == {"OAuth2PasswordBearer", "BearerToken"}, name
                assert {} not in operations[name]["security"], name
                assert "401" in operations[name]["responses"], name

    def test_an_operation_with_an_optional_token_declares_it_as_optional(
        self, app: FastAPI, operations: dict[str, Json]
    ) -> None:
        for name, dependant in dependants(app):
            found = set(calls(dependant))
            if found & READ_TOKEN and not found & DEMAND_TOKEN:
                assert {} in operations[name]["security"], name
                assert "401" in operations[name]["responses"], (
                    f"{name} does not declare that it refuses an invalid token"
                )

    def test_an_operation_that_reads_no_token_declares_no_scheme(
        self, app: FastAPI, operations: dict[str, Json]
    ) -> None:
        for name, dependant in dependants(app):
            if not READ_TOKEN.intersection(calls(dependant)):
                assert operations[name]["security"] == [], name

    def test_every_declared_scheme_exists(self, document: Json, operations: dict[str, Json]) -> None:
        declared = {scheme for each in operations.values() for one in each.get("security", []) for scheme in one}
        assert declared == set(document["components"]["securitySchemes"])


class TestExample:
    """Swagger UI fills a request from examples, so that Execute works at once."""

    def test_every_request_has_an_example(self, document: Json, operations: dict[str, Json]) -> None:
        for name, operation in operations.items():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                if "example" not in content:
                    assert list(without_example(document, content["schema"], name)) == []

    def test_every_answer_has_an_example(self, document: Json, operations: dict[str, Json]) -> None:
        for name, operation in operations.items():
            for status, response in operation["responses"].items():
                for content in response.get("content", {}).values():
                    if status < "300":
                        assert list(without_example(document, content["schema"], name)) == []

    def test_every_example_fits_its_schema(self, document: Json) -> None:
        for node in nodes(document["components"]["schemas"]):
            for example in node.get("examples", []) if is_schema(node) else []:
                against = {**node, "components": document["components"]}
                errors = [error.message for error in OAS31Validator(against).iter_errors(example)]
                assert errors == [], node

    def test_every_field_of_an_answer_is_required(self, document: Json, operations: dict[str, Json]) -> None:
        """A typed client then knows that each field is present."""
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
    """Whether a field of a schema takes a value."""
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
    """The places of a schema for which Swagger UI would have to invent a value."""
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
