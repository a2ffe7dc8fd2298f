"""No request gets a 500, whatever it holds: each place of each operation is sent what is hostile there.

What is hostile, and what must be refused, follows from the OpenAPI document, so a new route is covered by being there.
The client holds every answer against that document too (`CheckedTransport`).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import zip_longest
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import Response

from api.main import create_app
from api.settings import Settings
from tests.hostile import (
    FORM,
    HEADERS,
    JSON,
    NO_TOKENS,
    QUERIES,
    Document,
    Operation,
    Place,
    filled,
    hostile_bodies,
    hostile_cursors,
    hostile_keys,
)
from tests.hostile_world import ODD, World, quoted, written
from tests.support import Contract, Seed, assert_refused

pytestmark = pytest.mark.hostile

DOCUMENT = Document(create_app(Settings(_env_file=None, database_url="sqlite:///unused.db")).openapi())
OPERATIONS = DOCUMENT.operations
WITH_BODY = [each for each in OPERATIONS if each.media_type]
WITH_JSON = [each for each in WITH_BODY if each.media_type == JSON]
SEARCHES = [
    (each, name)
    for each in OPERATIONS
    for name in ("search", "q")
    if name in [one["name"] for one in each.parameters("query")]
]
METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "QUERY", "NONSENSE"}


def named(value: Any) -> str:
    return value.name if isinstance(value, Operation) else str(value)


def with_parameters(where: str, name: str | None = None) -> list[Operation]:
    return [
        each for each in OPERATIONS if any(name in (None, parameter["name"]) for parameter in each.parameters(where))
    ]


def assert_names(response: Response, *sent: tuple[str, Any]) -> None:
    """Check that a request is refused, and that all its places are told that hold what they must not."""
    told = f"{[(place, str(value)[:200]) for place, value in sent]} got {response.status_code}: {response.text[:1_000]}"
    assert response.status_code == 422, told
    errors = response.json()["errors"]
    assert all(errors.count(each) == 1 for each in errors), f"something is told twice: {told}"
    fields = [each["field"] for each in errors]
    for place, _ in sent:
        assert any(each == place or each.startswith(f"{place}.") for each in fields), f"{place} is not named: {told}"


def rows(values: dict[Place, list[str]]) -> Iterator[dict[Place, str]]:
    """The values of each place beside those of others; alone where the place holds others."""
    outer = [place for place in values if any(map(place.holds, values))]
    yield from ({place: text} for place in outer for text in values[place])
    inner = [place for place in values if place not in outer]
    for row in zip_longest(*(values[place] for place in inner)):
        yield {place: text for place, text in zip(inner, row, strict=True) if text is not None}


@pytest.fixture(scope="module")
async def world(app: FastAPI, contract: Contract, seed: Seed) -> AsyncIterator[World]:
    """Filled once: it mends itself, and nothing else here touches the database."""
    world = World(app, DOCUMENT, contract)
    await seed.restore(world.database)
    await world.fill()
    yield world
    await world.client.aclose()


@pytest.mark.parametrize("operation", OPERATIONS, ids=named)
async def test_the_valid_request_succeeds(world: World, operation: Operation) -> None:
    response = await world.send(operation)

    assert response.is_success, response.text


class TestParameters:
    @pytest.mark.parametrize("operation", with_parameters("path"), ids=named)
    async def test_in_the_path(self, world: World, operation: Operation) -> None:
        for parameter in operation.parameters("path"):
            name, schema = parameter["name"], parameter["schema"]
            for text in filter(None, DOCUMENT.hostile_texts(schema)):  # without it the path is another one
                response = await world.send(operation, path={name: quoted(text)})
                if DOCUMENT.forbids_text(schema, text):
                    assert_names(response, (f"path.{name}", text))

    @pytest.mark.parametrize("operation", with_parameters("query"), ids=named)
    async def test_in_the_query(self, world: World, operation: Operation) -> None:
        """What must be refused is sent in all parameters at once, because all must be named; the rest one at a time."""
        forbidden: dict[str, list[str]] = {}
        for parameter in operation.parameters("query"):
            name, schema = parameter["name"], parameter["schema"]
            texts = DOCUMENT.hostile_texts(schema)
            forbidden[name] = [text for text in texts if DOCUMENT.forbids_text(schema, text)]
            for text in texts:
                if text not in forbidden[name]:
                    await world.send(operation, query=world.query(operation, **{name: text}))
            if parameter["required"]:
                assert_names(await world.send(operation, query=b""), (f"query.{name}", None))
        forbidden.pop("cursor", None)  # which only the list itself can read, once all else is right
        for row in zip_longest(*forbidden.values()):
            sent = {name: text for name, text in zip(forbidden, row, strict=True) if text is not None}
            response = await world.send(operation, query=world.query(operation, **sent))
            assert_names(response, *((f"query.{name}", text) for name, text in sent.items()))

    @pytest.mark.parametrize("operation", with_parameters("query", "cursor"), ids=named)
    async def test_in_a_cursor(self, world: World, operation: Operation) -> None:
        for cursor in [*hostile_cursors(), "\0", "\ud800", "%", "x" * 50_000, "\U0001f4a5"]:
            response = await world.send(operation, query=world.query(operation, cursor=cursor))
            assert_names(response, ("query.cursor", cursor))

    @pytest.mark.parametrize("operation", OPERATIONS, ids=named)
    async def test_in_a_query_that_is_none(self, world: World, operation: Operation) -> None:
        for query in QUERIES if operation.parameters("query") else QUERIES[:2]:
            await world.send(operation, query=b"&".join(filter(None, [world.query(operation), query])))

    @pytest.mark.parametrize("operation", with_parameters("header", "Idempotency-Key"), ids=named)
    async def test_in_a_query_under_an_idempotency_key(self, world: World, operation: Operation) -> None:
        for number, query in enumerate(QUERIES):
            await world.send(operation, query=query, headers={"Idempotency-Key": str(number).encode()})

    @pytest.mark.parametrize("operation", with_parameters("header"), ids=named)
    async def test_in_a_header(self, world: World, operation: Operation) -> None:
        for parameter in operation.parameters("header"):
            name, schema = parameter["name"], parameter["schema"]
            for value in HEADERS:
                response = await world.send(operation, headers={name: value})
                if DOCUMENT.forbids(schema, value.decode("latin-1")):
                    assert_names(response, (f"header.{name}", value))

    @pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.is_signed_in], ids=named)
    async def test_in_a_token(self, world: World, operation: Operation) -> None:
        for token in NO_TOKENS:
            response = await world.send(operation, headers={"Authorization": token})
            assert response.status_code == 401 or operation.takes_anyone, f"{token[:80]!r} got {response.text}"
            assert response.status_code != 422, f"{token[:80]!r} got {response.text}"


class TestBodies:
    @pytest.mark.parametrize("operation", WITH_JSON, ids=named)
    async def test_in_a_field(self, world: World, operation: Operation) -> None:
        """Values are sent in all fields at once: those that must be refused must all be named, and others all pass.

        Where others do not all pass, each of them is sent alone.
        """
        body, places = world.body(operation), list(DOCUMENT.places(operation.body))
        forbidden: dict[Place, list[str]] = {place: [] for place in places}
        allowed: dict[Place, list[str]] = {place: [] for place in places}
        for place in places:
            for text, value in DOCUMENT.hostile(place.schema):
                (forbidden if DOCUMENT.forbids(place.schema, value) else allowed)[place].append(text)
        for row in rows(forbidden):
            response = await world.send(operation, content=filled(body, row))
            assert_names(response, *((place.name, text) for place, text in row.items()))
        for row in rows(allowed):
            response = await world.send(operation, content=filled(body, row), after_others=True)
            if len(row) > 1 and not response.is_success:
                for place, text in row.items():
                    await world.send(operation, content=filled(body, {place: text}), after_others=True)

    @pytest.mark.parametrize("operation", WITH_JSON, ids=named)
    async def test_without_a_field(self, world: World, operation: Operation) -> None:
        body = world.body(operation)
        for place in DOCUMENT.places(operation.body):
            response = await world.send(operation, content=place.emptied(body))
            if place.required:
                assert_names(response, (place.name, None))

    @pytest.mark.parametrize("operation", [each for each in WITH_BODY if each.media_type == FORM], ids=named)
    async def test_in_a_field_of_a_form(self, world: World, operation: Operation) -> None:
        values = {place: DOCUMENT.hostile_texts(place.schema) for place in DOCUMENT.places(operation.body)}
        for row in rows(values):
            fields = {str(place.steps[0]): text for place, text in row.items()}
            response = await world.send(operation, content=world.form(operation, **fields))
            assert response.status_code in {401, 422}, f"{fields} got {response.text}"

    @pytest.mark.parametrize("operation", WITH_JSON, ids=named)
    async def test_that_are_none(self, world: World, operation: Operation) -> None:
        for content in hostile_bodies(world.body(operation)):
            response = await world.send(operation, content=content)
            assert response.status_code in {400, 422}, f"{content[:80]!r} got {response.text}"
            assert "body" in response.json()["detail"], f"{content[:80]!r} got {response.text}"

    @pytest.mark.parametrize("operation", WITH_JSON, ids=named)
    async def test_with_a_field_that_nothing_has(self, world: World, operation: Operation) -> None:
        for content in hostile_keys(world.body(operation)):
            response = await world.send(operation, content=content)
            assert response.status_code == 422, response.text
            told = {each["message"] for each in response.json()["errors"]}
            assert told <= {"Extra inputs are not permitted", "must not contain half of a surrogate pair"}

    @pytest.mark.parametrize("operation", WITH_JSON, ids=named)
    async def test_with_5_000_fields_that_nothing_has(self, world: World, operation: Operation) -> None:
        fields = b"{%s}" % b", ".join(b'"%d": 1' % number for number in range(5_000))

        response = await world.send(
            operation, content=fields if operation.body.get("type") != "array" else b"[%s]" % fields
        )

        assert_refused(response, 422, "body.")
        assert len(response.json()["errors"]) <= 100

    @pytest.mark.parametrize("operation", WITH_JSON, ids=named)
    async def test_with_every_field_twice(self, world: World, operation: Operation) -> None:
        body = world.body(operation)
        fields = written(body[0] if isinstance(body, list) else body)[1:-1]
        twice = b"{%s, %s}" % (fields, fields)

        response = await world.send(operation, content=b"[%s]" % twice if isinstance(body, list) else twice)

        assert response.is_success, "the last one counts, as for all readers of JSON"

    @pytest.mark.parametrize("operation", WITH_BODY, ids=named)
    async def test_of_another_type(self, world: World, operation: Operation) -> None:
        other = FORM if operation.media_type == JSON else JSON
        multipart = ("multipart/form-data", f"multipart/form-data; boundary={'x' * 10_000}")
        for media_type in ("", "nonsense", "text/plain", "\xff", other, *multipart):
            response = await world.send(operation, headers={"Content-Type": media_type.encode("latin-1")})
            assert response.status_code in {400, 422}, f"{media_type[:80]} got {response.text}"

    @pytest.mark.parametrize("operation", WITH_JSON, ids=named)
    async def test_of_another_encoding(self, world: World, operation: Operation) -> None:
        text = written(world.body(operation)).decode()
        for encoding in ("utf-16", "utf-8-sig", "cp037"):
            headers = {"Content-Type": f"application/json; charset={encoding}".encode()}
            response = await world.send(operation, headers=headers, content=text.encode(encoding), after_others=True)
            assert response.is_success or response.status_code in {400, 422}, response.text

    @pytest.mark.parametrize("says_how_large", [True, False])
    @pytest.mark.parametrize("operation", WITH_BODY, ids=named)
    async def test_of_100_megabytes(self, world: World, operation: Operation, says_how_large: bool) -> None:
        size, chunk, read = 100_000_000, b"0" * 100_000, 0

        async def zeros() -> AsyncIterator[bytes]:
            nonlocal read
            while read < size:
                read += len(chunk)
                yield chunk

        headers = {"Content-Length": str(size).encode()} if says_how_large else {}
        response = await world.send(operation, headers=headers, content=zeros())

        assert_refused(response, 413)
        assert read < 2_000_000


class TestMethods:
    @pytest.mark.parametrize("path", DOCUMENT.openapi["paths"])
    async def test_that_a_path_does_not_have(self, world: World, path: str) -> None:
        known = {each.method: each for each in OPERATIONS if each.path == path}
        spec = {"parameters": next(iter(known.values())).parameters("path")}
        for method in sorted(METHODS - known.keys()):
            response = await world.send(Operation(method, path, spec))
            assert response.status_code == 405, f"{method} got {response.text}"
            assert set(response.headers["Allow"].split(", ")) >= known.keys()


class TestSearches:
    @pytest.mark.parametrize(("operation", "name"), SEARCHES, ids=named)
    @pytest.mark.parametrize("text", ["%", "_", "\\", "%_", "\\'", ODD])
    async def test_wildcards_stand_for_themselves(
        self, world: World, operation: Operation, name: str, text: str
    ) -> None:
        response = await world.send(operation, query=world.query(operation, **{name: text}))

        assert response.json()["total"] == 1

    @pytest.mark.parametrize(("operation", "name"), SEARCHES, ids=named)
    async def test_with_50_kilobytes_are_refused(self, world: World, operation: Operation, name: str) -> None:
        for text in ("%" * 50_000, "_%" * 25_000, "\\" * 50_000):
            response = await world.send(operation, query=world.query(operation, **{name: text}))
            assert_names(response, (f"query.{name}", text))


Body = Callable[[World, int], dict[str, Any]]

UNIQUE: dict[str, tuple[str, Body]] = {
    "username": ("/users", lambda world, n: user(username="same", email=f"a{n}@example.com")),
    "email": ("/users", lambda world, n: user(username=f"name{n}", email=f"{'sS'[n % 2]}ame@example.com")),
    "category's name": ("/categories", lambda world, n: {"name": "Same", "slug": f"slug-{n}"}),
    "category's slug": ("/categories", lambda world, n: {"name": f"Name {n}", "slug": "same"}),
    "sku": ("/products", lambda world, n: product(name=f"Name {n}", slug=f"slug-{n}", sku="SAME")),
    "product's slug": ("/products", lambda world, n: product(name=f"Name {n}", slug="same", sku=f"SKU-{n}")),
    "product's name in a category": (
        "/products",
        lambda world, n: product(
            name="Same", slug=f"slug-{n}", sku=f"SKU-{n}", category_id=world.values["category_id"]
        ),
    ),
    "tag's name": ("/tags", lambda world, n: {"name": "Same", "slug": f"slug-{n}"}),
    "tag's slug": ("/tags", lambda world, n: {"name": f"Name {n}", "slug": "same"}),
    "post's slug": ("/posts", lambda world, n: {"title": f"Title {n}", "content": "x", "slug": "same"}),
    "payment's reference": (
        "/orders/{orders}/payments",
        lambda world, n: {"method": "card", "amount": n + 1, "reference": "same"},
    ),
}


def user(**fields: Any) -> dict[str, Any]:
    return {"password": "SecurePass123", **fields}


def product(**fields: Any) -> dict[str, Any]:
    return {"price": "1.00", **fields}


@pytest.mark.parametrize(("path", "body"), UNIQUE.values(), ids=UNIQUE)
async def test_of_ten_at_once_with_the_same_value_one_has_it(world: World, path: str, body: Body) -> None:
    target = path.format_map(world.ids)

    responses = await asyncio.gather(*(world.post(target, body(world, number)) for number in range(10)))

    assert sorted(response.status_code for response in responses) == [201] + [409] * 9
    refused = [response.json()["detail"] for response in responses if response.is_error]
    assert all("already taken" in detail for detail in refused), refused
