"""No request gets a 500: every field of every body is sent hostile values, and every operation hostile bodies.

What is hostile, and what must be refused, follows from the OpenAPI document, so a new route is covered without a line
here. The client holds every answer against that document too (`CheckedTransport`).
"""

from collections.abc import AsyncIterator

import pytest

from api.settings import Settings
from tests.house.hostile_cases import DOCUMENT, WITH_BODY, WITH_JSON, assert_names, named, rows
from tests.house.hostile_requests import FORM, JSON, Operation, Place, filled
from tests.house.hostile_sender import Sender, written
from tests.house.hostile_values import hostile_bodies, hostile_keys
from tests.selection import HOSTILE_ON
from tests.support import assert_refused

pytestmark = pytest.mark.hostile

refused_before_the_database = pytest.mark.parametrize("backend", [HOSTILE_ON], indirect=True)
"""By what reads a body, which asks no database: one of them is enough, also with `--all`."""

MAX_IMPORT_SIZE = Settings.model_fields["max_import_size"].default


class TestBodies:
    @pytest.mark.parametrize("operation", WITH_JSON, ids=named)
    async def test_forbidden_values_in_fields_are_all_named(self, sender: Sender, operation: Operation) -> None:
        """Values are sent in all fields at once: those that must be refused must all be named, and others all pass.

        Where others do not all pass, each of them is sent alone.
        """
        body, places = sender.body(operation), list(DOCUMENT.places(operation.body))
        forbidden: dict[Place, list[str]] = {place: [] for place in places}
        allowed: dict[Place, list[str]] = {place: [] for place in places}
        for place in places:
            for text, value in DOCUMENT.hostile(place.schema):
                (forbidden if DOCUMENT.forbids(place.schema, value) else allowed)[place].append(text)
        for row in rows(forbidden):
            response = await sender.send(operation, content=filled(body, row))
            assert_names(response, *((place.name, text) for place, text in row.items()))
        for row in rows(allowed):
            response = await sender.send(operation, content=filled(body, row), after_others=True)
            if len(row) > 1 and not response.is_success:
                for place, text in row.items():
                    await sender.send(operation, content=filled(body, {place: text}), after_others=True)

    @pytest.mark.parametrize("operation", WITH_JSON, ids=named)
    async def test_a_missing_field_is_named(self, sender: Sender, operation: Operation) -> None:
        body = sender.body(operation)
        for place in DOCUMENT.places(operation.body):
            response = await sender.send(operation, content=place.emptied(body))
            if place.required:
                assert_names(response, (place.name, None))

    @pytest.mark.parametrize("operation", [each for each in WITH_BODY if each.media_type == FORM], ids=named)
    async def test_a_hostile_value_in_a_form_is_refused(self, sender: Sender, operation: Operation) -> None:
        values = {place: DOCUMENT.hostile_texts(place.schema) for place in DOCUMENT.places(operation.body)}
        for row in rows(values):
            fields = {str(place.steps[0]): text for place, text in row.items()}
            response = await sender.send(operation, content=sender.form(operation, **fields))
            assert response.status_code in {401, 422}, f"{fields} got {response.text}"

    @refused_before_the_database
    @pytest.mark.parametrize("operation", WITH_JSON, ids=named)
    async def test_a_malformed_body_is_refused(self, sender: Sender, operation: Operation) -> None:
        for content in hostile_bodies(sender.body(operation)):
            response = await sender.send(operation, content=content)
            assert response.status_code in {400, 422}, f"{content[:80]!r} got {response.text}"
            assert "body" in response.json()["detail"], f"{content[:80]!r} got {response.text}"

    @refused_before_the_database
    @pytest.mark.parametrize("operation", WITH_JSON, ids=named)
    async def test_an_unknown_field_is_refused(self, sender: Sender, operation: Operation) -> None:
        for content in hostile_keys(sender.body(operation)):
            response = await sender.send(operation, content=content)
            assert response.status_code == 422, response.text
            told = {each["message"].partition(":")[0] for each in response.json()["errors"]}
            refused = {"is not a field of this request", "cannot be written here", "must not contain a lone surrogate"}
            assert told <= refused

    @refused_before_the_database
    @pytest.mark.parametrize("operation", WITH_JSON, ids=named)
    async def test_5_000_unknown_fields_are_refused_with_at_most_100_errors(
        self, sender: Sender, operation: Operation
    ) -> None:
        fields = b"{%s}" % b", ".join(b'"%d": 1' % number for number in range(5_000))

        response = await sender.send(
            operation, content=fields if operation.body.get("type") != "array" else b"[%s]" % fields
        )

        assert_refused(response, 422, "body.")
        assert len(response.json()["errors"]) <= 100

    @pytest.mark.parametrize("operation", WITH_JSON, ids=named)
    async def test_the_last_of_two_fields_with_the_same_name_counts(self, sender: Sender, operation: Operation) -> None:
        body = sender.body(operation)
        fields = written(body[0] if isinstance(body, list) else body)[1:-1]
        twice = b"{%s, %s}" % (fields, fields)

        response = await sender.send(operation, content=b"[%s]" % twice if isinstance(body, list) else twice)

        assert response.is_success, "the last one counts, as for all readers of JSON"

    @refused_before_the_database
    @pytest.mark.parametrize("operation", WITH_BODY, ids=named)
    async def test_a_body_of_another_media_type_is_refused(self, sender: Sender, operation: Operation) -> None:
        other = FORM if operation.media_type == JSON else JSON
        multipart = ("multipart/form-data", f"multipart/form-data; boundary={'x' * 10_000}")
        for media_type in ("", "nonsense", "text/plain", "\xff", other, *multipart):
            response = await sender.send(operation, headers={"Content-Type": media_type.encode("latin-1")})
            assert response.status_code in {400, 422}, f"{media_type[:80]} got {response.text}"

    @pytest.mark.parametrize("operation", WITH_JSON, ids=named)
    async def test_a_body_in_another_encoding_is_read_or_refused(self, sender: Sender, operation: Operation) -> None:
        text = written(sender.body(operation)).decode()
        for encoding in ("utf-16", "utf-8-sig", "cp037"):
            headers = {"Content-Type": f"application/json; charset={encoding}".encode()}
            response = await sender.send(operation, headers=headers, content=text.encode(encoding), after_others=True)
            assert response.is_success or response.status_code in {400, 422}, response.text

    @refused_before_the_database
    @pytest.mark.parametrize("says_how_large", [True, False])
    @pytest.mark.parametrize("operation", WITH_BODY, ids=named)
    async def test_a_body_of_100_megabytes_is_refused_before_it_is_read(
        self, sender: Sender, operation: Operation, says_how_large: bool
    ) -> None:
        size, chunk, read = 100_000_000, b"0" * 100_000, 0

        async def zeros() -> AsyncIterator[bytes]:
            nonlocal read
            while read < size:
                read += len(chunk)
                yield chunk

        headers = {"Content-Length": str(size).encode()} if says_how_large else {}
        response = await sender.send(operation, headers=headers, content=zeros())

        assert_refused(response, 413)
        is_file = operation.media_type not in (JSON, FORM)
        assert read < (MAX_IMPORT_SIZE if is_file else 0) + 2_000_000
