"""The document against the last released one: what breaks a client, and what does not."""

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from api.main import create_app
from api.settings import Settings
from tests.openapi.compatibility import incompatible, without_prose
from tests.support import ROOT

Json = dict[str, Any]

RELEASED: Json = json.loads((ROOT / ".github/openapi.json").read_text())

DECIDED: dict[str, str] = {}
"""What the next release changes although it may break a client, and why. A release, which keeps its document, empties
it."""


def operation(document: Json, method: str, path: str) -> Json:
    found: Json = document["paths"][path][method]
    return found


def schema(document: Json, name: str) -> Json:
    found: Json = document["components"]["schemas"][name]
    return found


def field(document: Json, name: str, of: str) -> Json:
    found: Json = schema(document, of)["properties"][name]
    return found


def rename_operation(new: Json) -> None:
    operation(new, "post", "/orders")["operationId"] = "orders.create"


def demand_a_parameter(new: Json) -> None:
    demanded = {"in": "query", "name": "shop", "required": True, "schema": {"type": "string"}}
    operation(new, "get", "/products")["parameters"].append(demanded)


def offer_a_parameter(new: Json) -> None:
    operation(new, "get", "/products")["parameters"].append(
        {"in": "query", "name": "colour", "schema": {"type": "string"}}
    )


def answer_another_number(new: Json) -> None:
    responses = operation(new, "post", "/orders")["responses"]
    responses["202"] = responses.pop("201")


def parameter(document: Json, name: str, method: str, path: str) -> Json:
    found: Json = next(each for each in operation(document, method, path)["parameters"] if each["name"] == name)
    return found


def answer(document: Json, status: str, method: str, path: str) -> Json:
    found: Json = operation(document, method, path)["responses"][status]
    return found


INCOMPATIBLE: dict[str, Callable[[Json], object]] = {
    "GET /products is gone": lambda new: new["paths"]["/products"].pop("get"),
    "POST /orders is called orders.create": rename_operation,
    "GET /products demands a token": lambda new: operation(new, "get", "/products")["security"].remove({}),
    "GET /products: query.shop is demanded": demand_a_parameter,
    "GET /products: query.search is gone": lambda new: operation(new, "get", "/products").update(
        parameters=[each for each in operation(new, "get", "/products")["parameters"] if each["name"] != "search"]
    ),
    "POST /orders: body.shipping_address is demanded": lambda new: schema(new, "OrderCreate")["required"].append(
        "shipping_address"
    ),
    "POST /orders: body.user_id is gone": lambda new: schema(new, "OrderCreate")["properties"].pop("user_id"),
    "POST /orders: body.items[].quantity: another maximum": lambda new: field(
        new, "quantity", "OrderItemCreate"
    ).update(maximum=3),
    "POST /orders/{id}/payments: body.method: other values": lambda new: schema(new, "PaymentMethod")["enum"].remove(
        "cash"
    ),
    "POST /orders: 202 is new": answer_another_number,
    "GET /orders/{id}: 200.total_amount is not always answered": lambda new: schema(new, "OrderReadWithItems")[
        "required"
    ].remove("total_amount"),
    "GET /orders/{id}: 200.status: other values": lambda new: schema(new, "OrderStatus")["enum"].append("lost"),
    "GET /orders/{id}: 200.total_amount: another type": lambda new: field(
        new, "total_amount", "OrderReadWithItems"
    ).update(type="number"),
    "GET /audit: 200.items[].changes.*: another type": lambda new: field(new, "changes", "AuditEntryRead").update(
        additionalProperties={"type": "string"}
    ),
    "POST /orders takes no BearerToken any more": lambda new: operation(new, "post", "/orders").update(
        security=[{"OAuth2PasswordBearer": []}, {"ApiKey": []}]
    ),
    "POST /orders takes no OAuth2PasswordBearer any more": lambda new: operation(new, "post", "/orders").update(
        security=[{"OAuth2PasswordBearer": [], "ApiKey": []}, {"BearerToken": []}]
    ),
    "the security scheme BearerToken is another": lambda new: new["components"]["securitySchemes"][
        "BearerToken"
    ].update(scheme="basic"),
    "the security scheme BearerToken is gone": lambda new: new["components"]["securitySchemes"].pop("BearerToken"),
    "the service is no longer at /": lambda new: new.update(servers=[{"url": "/v2"}]),
    "GET /products is no longer at /": lambda new: operation(new, "get", "/products").update(servers=[{"url": "/v2"}]),
    "GET /orders/{id}: 200: header X-Request-ID is gone": lambda new: answer(new, "200", "get", "/orders/{id}")[
        "headers"
    ].pop("X-Request-ID"),
    "GET /orders/{id}: 401: header WWW-Authenticate is gone": lambda new: answer(new, "401", "get", "/orders/{id}")[
        "headers"
    ].pop("WWW-Authenticate"),
    "GET /orders/{id}: 200: header X-Request-ID: another type": lambda new: answer(new, "200", "get", "/orders/{id}")[
        "headers"
    ]["X-Request-ID"].update(schema={"type": "integer"}),
    "GET /products: query.page takes no empty value": lambda new: parameter(new, "page", "get", "/products").pop(
        "allowEmptyValue"
    ),
    "GET /products: query.page is written in another way": lambda new: parameter(
        new, "page", "get", "/products"
    ).update(style="pipeDelimited"),
    "GET /products: query.page: another default": lambda new: parameter(new, "page", "get", "/products")[
        "schema"
    ].update(default=2),
    "POST /posts: body.status: another default": lambda new: field(new, "status", "PostCreate").update(
        default="published"
    ),
    "POST order.placed.data.id: another type": lambda new: field(new, "id", "OrderReadWithItems").update(type="string"),
}


def test_ids_are_not_answered_as_null_unnoticed() -> None:
    new = deepcopy(RELEASED)
    schema(new, "OrderReadWithItems")["properties"]["id"] = {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    assert "GET /orders/{id}: 200.id: another type" in incompatible(RELEASED, new)


COMPATIBLE: dict[str, Callable[[Json], object]] = {
    "a new route": lambda new: new["paths"].update({"/colours": deepcopy(new["paths"]["/tags"])}),
    "an optional parameter": offer_a_parameter,
    "an optional field in a request": lambda new: schema(new, "OrderCreate")["properties"].update(
        note={"type": "string"}
    ),
    "another field in an answer": lambda new: (
        schema(new, "OrderReadWithItems")["properties"].update(note={"type": "string"}),
        schema(new, "OrderReadWithItems")["required"].append("note"),
    ),
    "a wider limit in a request": lambda new: field(new, "quantity", "OrderItemCreate").update(maximum=10**12),
    "another refusal": lambda new: operation(new, "get", "/products")["responses"].update({"418": {}}),
    "a value more in a request": lambda new: schema(new, "ProductSort")["enum"].append("oldest"),
    "a map in an answer that may hold less": lambda new: field(new, "changes", "AuditEntryRead").update(
        additionalProperties=False
    ),
    "a header more": lambda new: answer(new, "200", "get", "/products")["headers"].update({"X-New": {"schema": {}}}),
    "a server more": lambda new: new["servers"].append({"url": "https://shop.example"}),
    "another way to sign in": lambda new: operation(new, "post", "/orders")["security"].append({"ApiKey": []}),
    "a default of what was demanded": lambda new: (
        schema(new, "OrderItemCreate")["required"].remove("quantity"),
        field(new, "quantity", "OrderItemCreate").update(default=1),
    ),
    "an empty value more": lambda new: parameter(new, "id", "get", "/orders/{id}").update(allowEmptyValue=True),
    "a token that may be left out": lambda new: operation(new, "post", "/orders")["security"].append({}),
}


@pytest.mark.parametrize("said", INCOMPATIBLE)
def test_what_breaks_a_client_is_found(said: str) -> None:
    new = deepcopy(RELEASED)
    INCOMPATIBLE[said](new)
    assert said in incompatible(RELEASED, new)


@pytest.mark.parametrize("change", COMPATIBLE)
def test_what_breaks_no_client_passes(change: str) -> None:
    new = deepcopy(RELEASED)
    COMPATIBLE[change](new)
    assert new != RELEASED
    assert incompatible(RELEASED, new) == []


def test_this_document_breaks_no_client_of_the_last_release() -> None:
    """How a release replaces the document is said in CONTRIBUTING."""
    found = incompatible(RELEASED, without_prose(create_app(Settings(_env_file=None)).openapi()))
    assert [each for each in found if each not in DECIDED] == []
    assert DECIDED.keys() <= set(found), "what is broken no longer needs no reason"
