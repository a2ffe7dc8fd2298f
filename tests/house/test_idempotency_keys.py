"""Every write takes an `Idempotency-Key`, or refuses the header: nowhere is it ignored.

Which requests are sent follows from the OpenAPI document, so a new route is covered without a line here.
"""

import pytest
from sqlmodel import select

from api.models.idempotency_key import IdempotencyKey
from api.web.key_rules import WRITES
from tests.house.hostile_cases import OPERATIONS, named, with_parameters
from tests.house.hostile_requests import Operation
from tests.house.hostile_sender import Sender
from tests.support import FreshSession, assert_refused

KEY = {"Idempotency-Key": b"8e03978e-40d5-43e8-bc93-6894a57f9324"}
TAKING = with_parameters("header", "Idempotency-Key")
WRITING = [each for each in OPERATIONS if each.method in WRITES]
REFUSING = [each for each in WRITING if each not in TAKING]
READING = [each for each in OPERATIONS if each.method not in WRITES]

REFUSED = {
    "POST /auth/token": "it is for callers who are not signed in, and its answer holds a token",
    "POST /auth/keys": "its answer holds an API key",
    "POST /auth/password/reset": "it is for callers who are not signed in",
    "POST /auth/password/reset/confirm": "it is for callers who are not signed in",
    "POST /auth/email/confirm": "it is for callers who are not signed in",
    "POST /auth/registration/confirm": "it is for callers who are not signed in",
    "POST /users": "it is for callers who are not signed in",
    "POST /webhooks": "its answer holds a secret",
    "POST /webhooks/{id}/secret": "its answer holds a secret",
}
"""The writes that refuse the header, each with the reason."""

ENDING = {"DELETE /auth/token": "it revokes the token that a repeated request would be known by"}
"""Routes after which the same caller is nobody, each with the reason."""


async def keys(sender: Sender) -> list[tuple[str, int | None]]:
    """The keys that were stored, but for that of the world."""
    async with FreshSession(sender.world.database.engine) as session:
        rows = (await session.exec(select(IdempotencyKey))).all()
    return [(each.route, each.status_code) for each in rows if each.key == KEY["Idempotency-Key"].decode()]


def test_the_writes_that_refuse_a_key_are_these() -> None:
    assert {each.name for each in REFUSING} == REFUSED.keys()
    for operation in REFUSING:
        assert "takes no Idempotency-Key" in operation.spec["responses"]["400"]["description"]


def test_only_writes_take_a_key_and_declare_how_it_can_be_refused() -> None:
    assert set(TAKING) <= set(WRITING)
    for operation in TAKING:
        responses = operation.spec["responses"]
        assert {"401", "409", "422", "503"} <= responses.keys(), operation.name
        done = [each for code, each in responses.items() if code.startswith("2")]
        assert all("Idempotent-Replayed" in each["headers"] for each in done), operation.name


@pytest.mark.parametrize("operation", TAKING, ids=named)
class TestTaken:
    async def test_a_repeated_request_is_done_once_and_gets_the_same_answer(
        self, sender: Sender, operation: Operation
    ) -> None:
        first = await sender.send(operation, headers=KEY)
        assert first.is_success, f"{operation.name} refused its own example: {first.text}"
        assert "Idempotent-Replayed" not in first.headers
        after = await sender.world.contents()

        again = await sender.send_again(operation, headers=KEY)

        if operation.name in ENDING:
            assert_refused(again, 401)
        else:
            assert (again.status_code, again.content) == (first.status_code, first.content)
            assert again.headers.get("Idempotent-Replayed") == "true"
            assert again.headers.get("Content-Type") == first.headers.get("Content-Type")
        assert await sender.world.contents() == after, f"{operation.name} was done twice"
        assert await keys(sender) == [(operation.name, first.status_code)]

    async def test_another_request_under_the_same_key_is_refused(self, sender: Sender, operation: Operation) -> None:
        if operation.name in ENDING:
            return
        await sender.send(operation, headers=KEY)
        after = await sender.world.contents()

        other = await sender.send_again(operation, headers=KEY, content=b"{}")

        assert_refused(other, 422, "header.Idempotency-Key: was already used for another request")
        assert await sender.world.contents() == after

    async def test_one_of_many_simultaneous_requests_is_done(self, sender: Sender, operation: Operation) -> None:
        answers = await sender.send_together(operation, 6, KEY)

        if operation.name in ENDING:
            assert {each.status_code for each in answers} <= {204, 401}
            return
        # On a busy machine the first one may take longer than the others wait: they are told to come back.
        answers = [each for each in answers if not (each.status_code == 409 and "Retry-After" in each.headers)]
        first = [each for each in answers if "Idempotent-Replayed" not in each.headers]
        assert len(first) == 1, [(each.status_code, each.text) for each in answers]
        assert first[0].is_success, first[0].text
        assert {(each.status_code, each.content) for each in answers} == {(first[0].status_code, first[0].content)}
        assert await keys(sender) == [(operation.name, first[0].status_code)]


@pytest.mark.parametrize("operation", REFUSING, ids=named)
async def test_a_write_that_takes_no_key_refuses_the_header(sender: Sender, operation: Operation) -> None:
    await sender.restore()
    before = await sender.world.contents()

    refused = await sender.send(operation, headers=KEY)

    assert_refused(refused, 400, "takes no Idempotency-Key")
    assert "Send the request without the header." in refused.json()["detail"]
    assert await sender.world.contents() == before


@pytest.mark.parametrize("operation", READING, ids=named)
async def test_a_read_is_answered_as_it_is_without_a_key(sender: Sender, operation: Operation) -> None:
    plain = await sender.send(operation)
    keyed = await sender.send(operation, headers=KEY)

    assert keyed.status_code == plain.status_code
    assert await keys(sender) == []
