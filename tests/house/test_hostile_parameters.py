"""No request gets a 500: every parameter of every operation is sent hostile values.

What is hostile, and what must be refused, follows from the OpenAPI document, so a new route is covered without a line
here. The client holds every answer against that document too (`CheckedTransport`).
"""

from itertools import zip_longest

import pytest

from tests.house.hostile_cases import DOCUMENT, OPERATIONS, assert_names, named, with_parameters
from tests.house.hostile_requests import Operation
from tests.house.hostile_sender import Sender, quoted
from tests.house.hostile_values import HEADERS, NO_TOKENS, QUERIES, hostile_cursors

pytestmark = pytest.mark.hostile

METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "QUERY", "NONSENSE"}


class TestParameters:
    @pytest.mark.parametrize("operation", with_parameters("path"), ids=named)
    async def test_a_forbidden_value_in_the_path_is_named(self, sender: Sender, operation: Operation) -> None:
        for parameter in operation.parameters("path"):
            name, schema = parameter["name"], parameter["schema"]
            for text in filter(None, DOCUMENT.hostile_texts(schema)):  # without it the path is another one
                response = await sender.send(operation, path={name: quoted(text)})
                if DOCUMENT.forbids_text(schema, text):
                    assert_names(response, (f"path.{name}", text))

    @pytest.mark.parametrize("operation", with_parameters("query"), ids=named)
    async def test_forbidden_values_in_the_query_are_all_named(self, sender: Sender, operation: Operation) -> None:
        """What must be refused is sent in all parameters at once, because all must be named; the rest one at a time."""
        forbidden: dict[str, list[str]] = {}
        for parameter in operation.parameters("query"):
            name, schema = parameter["name"], parameter["schema"]
            texts = DOCUMENT.hostile_texts(schema)
            sent_texts = [text for text in texts if text or not parameter.get("allowEmptyValue")]
            forbidden[name] = [text for text in sent_texts if DOCUMENT.forbids_text(schema, text)]
            for text in texts:
                if text not in forbidden[name]:
                    await sender.send(operation, query=sender.query(operation, **{name: text}))
            if parameter["required"]:
                assert_names(await sender.send(operation, query=b""), (f"query.{name}", None))
        forbidden.pop("cursor", None)  # which only the list itself can read, once all else is right
        for row in zip_longest(*forbidden.values()):
            sent = {name: text for name, text in zip(forbidden, row, strict=True) if text is not None}
            response = await sender.send(operation, query=sender.query(operation, **sent))
            assert_names(response, *((f"query.{name}", text) for name, text in sent.items()))

    @pytest.mark.parametrize("operation", OPERATIONS, ids=named)
    async def test_an_unknown_or_repeated_parameter_is_named(self, sender: Sender, operation: Operation) -> None:
        unknown = b"&".join(filter(None, [sender.query(operation), b"no_such_parameter=1"]))
        assert_names(await sender.send(operation, query=unknown), ("query.no_such_parameter", 1))
        for parameter in operation.parameters("query"):
            name = parameter["name"]
            sent = f"{name}={'1'}".encode()
            assert_names(await sender.send(operation, query=b"%b&%b" % (sent, sent)), (f"query.{name}", "twice"))

    @pytest.mark.parametrize(
        "operation", [each for each in with_parameters("query") if each.method == "GET"], ids=named
    )
    async def test_an_optional_parameter_that_is_left_empty_counts_as_absent(
        self, sender: Sender, operation: Operation
    ) -> None:
        names = [each["name"] for each in operation.parameters("query") if not each["required"]]
        left_out = await sender.send(operation)
        left_empty = await sender.send(
            operation, query=sender.query(operation, **dict.fromkeys(set(names) - {"cursor"}, ""))
        )
        assert (left_empty.status_code, left_empty.content) == (left_out.status_code, left_out.content)

    @pytest.mark.parametrize("operation", with_parameters("query", "cursor"), ids=named)
    async def test_a_cursor_that_the_list_did_not_give_out_is_named(self, sender: Sender, operation: Operation) -> None:
        for cursor in [*hostile_cursors(), "\0", "\ud800", "%", "x" * 50_000, "\U0001f4a5"]:
            response = await sender.send(operation, query=sender.query(operation, cursor=cursor))
            assert_names(response, ("query.cursor", cursor))

    @pytest.mark.parametrize("operation", OPERATIONS, ids=named)
    async def test_a_malformed_query_string_is_answered(self, sender: Sender, operation: Operation) -> None:
        for query in QUERIES if operation.parameters("query") else QUERIES[:2]:
            response = await sender.send(operation, query=b"&".join(filter(None, [sender.query(operation), query])))
            assert response.status_code < 500, f"{query!r} got {response.text}"

    @pytest.mark.parametrize("operation", with_parameters("header", "Idempotency-Key"), ids=named)
    async def test_a_malformed_query_string_under_an_idempotency_key_is_answered(
        self, sender: Sender, operation: Operation
    ) -> None:
        for number, query in enumerate(QUERIES):
            response = await sender.send(operation, query=query, headers={"Idempotency-Key": str(number).encode()})
            assert response.status_code < 500, f"{query!r} got {response.text}"

    @pytest.mark.parametrize("operation", with_parameters("header"), ids=named)
    async def test_a_forbidden_value_in_a_header_is_named(self, sender: Sender, operation: Operation) -> None:
        for parameter in operation.parameters("header"):
            name, schema = parameter["name"], parameter["schema"]
            for value in HEADERS:
                response = await sender.send(operation, headers={name: value})
                if DOCUMENT.forbids(schema, value.decode("latin-1")):
                    assert_names(response, (f"header.{name}", value))

    @pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.is_signed_in], ids=named)
    async def test_a_malformed_token_is_refused(self, sender: Sender, operation: Operation) -> None:
        for token in NO_TOKENS:
            response = await sender.send(operation, headers={"Authorization": token})
            assert response.status_code == 401 or operation.takes_anyone, f"{token[:80]!r} got {response.text}"
            assert response.status_code != 422, f"{token[:80]!r} got {response.text}"


class TestMethods:
    @pytest.mark.parametrize("path", DOCUMENT.openapi["paths"])
    async def test_a_method_that_a_path_does_not_have_is_refused(self, sender: Sender, path: str) -> None:
        known = {each.method: each for each in OPERATIONS if each.path == path}
        spec = {"parameters": next(iter(known.values())).parameters("path")}
        allowed = known.keys() | ({"HEAD", "OPTIONS"} if "GET" in known else {"OPTIONS"})
        for method in sorted(METHODS - allowed):
            response = await sender.send(Operation(method, path, spec))
            assert response.status_code == 405, f"{method} got {response.text}"
            assert set(response.headers["Allow"].split(", ")) == allowed
