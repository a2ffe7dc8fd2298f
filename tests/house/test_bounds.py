"""No answer and no request grows without a limit: what grows with the shop comes in pages, or is limited by number."""

from collections.abc import Iterator
from typing import Any

from api.main import create_app
from api.settings import Settings

PAGE = "Page"  # the end of its name

LIMITED = {
    **dict.fromkeys(
        (f"POST /imports/{each}" for each in ("products", "categories", "users")), "100 mistakes, and the columns"
    ),
    "GET /categories/tree": "in parts by `parent_id` and `levels`; a whole tree is nested in a thread",
    "GET /products/stats/by-category": "by `page` and `page_size`",
    "GET /users/stats/top-spenders": "by `limit`",
    "GET /events": "by `cursor` and `limit`",
    **dict.fromkeys(
        ("GET /webhooks/{id}", "POST /webhooks", "PATCH /webhooks/{id}", "POST /webhooks/{id}/secret"),
        "types of events",
    ),
    "GET /orders/stats/summary": "the statuses, and 1,000 categories",
    "GET /users/{id}/with-posts": "the 100 newest posts, with 20 tags each",
    "GET /posts/{id}": "20 tags",
    "GET /posts/by-slug/{slug}": "20 tags",
    "POST /posts": "20 tags",
    "PUT /posts/{id}": "20 tags",
    "PATCH /posts/{id}": "20 tags",
    "GET /orders/{id}": "100 lines",
    "GET /orders/by-number/{order_number}": "100 lines",
    "GET /orders/{id}/details": "100 lines",
    "POST /orders": "100 lines",
    "POST /users/bulk": "the 100 users of the request",
    "POST /products/bulk": "the 500 products of the request",
}
"""Answers that hold a list and are no page, and how long the list can get."""


def lists_in(schema: Any, components: dict[str, Any], seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """What the lists in a schema are of; those within pages are limited by the page."""
    if isinstance(schema, list):
        for each in schema:
            yield from lists_in(each, components, seen)
    elif isinstance(schema, dict):
        name = str(schema.get("$ref", "")).rpartition("/")[2]
        if name and name not in seen and not name.endswith(PAGE):
            yield from lists_in(components[name], components, seen | {name})
        if schema.get("type") == "array":
            yield str(schema)
        for key, value in schema.items():
            if key not in {"examples", "example"}:
                yield from lists_in(value, components, seen)


def test_every_list_in_an_answer_is_a_page_or_limited() -> None:
    document = create_app(Settings(_env_file=None, database_url="sqlite:///unused.db")).openapi()
    components = document["components"]["schemas"]
    found = {
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        for code, response in operation["responses"].items()
        if code.startswith("2") and list(lists_in(response.get("content", {}), components))
    }
    unlimited, stale = found - LIMITED.keys(), LIMITED.keys() - found
    assert not unlimited, f"{sorted(unlimited)} answer a list: make it a page, or say in LIMITED what limits it"
    assert not stale, f"{sorted(stale)} of LIMITED answer no list"


def test_every_list_in_a_request_has_a_limit() -> None:
    document = create_app(Settings(_env_file=None, database_url="sqlite:///unused.db")).openapi()
    components = document["components"]["schemas"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for each in lists_in(operation.get("requestBody", {}), components):
                assert "maxItems" in each, f"{method.upper()} {path} takes a list without a max_length: {each}"
