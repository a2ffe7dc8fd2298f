"""Every route deals with If-Match and If-None-Match: it takes a header, or it refuses it, and ignores none.

Which route takes which follows from the OpenAPI document, so a new route is covered without a line here.
"""

from typing import Any

import httpx
import pytest

from api.models.order import OrderStatus
from api.models.versioned import Versioned
from tests.house.families import ENTITIES, FAMILIES, file_of
from tests.house.hostile_cases import OPERATIONS, named, with_parameters
from tests.house.hostile_requests import Operation
from tests.house.hostile_sender import Sender
from tests.support import assert_refused
from tests.world import DRAFT

EDITING = [each for each in OPERATIONS if each.method in {"PUT", "PATCH", "DELETE"}]
GUARDED = with_parameters("header", "If-Match")
TAGGED = with_parameters("header", "If-None-Match")

NO_SINGLE_ROW = {
    "DELETE /auth/token": "a token is never edited",
    "DELETE /auth/keys/{id}": "an API key is never edited",
    "PATCH /users/bulk/deactivate": "it changes many rows",
    "DELETE /users/bulk/inactive": "it changes many rows",
}
"""What changes rows by PUT, PATCH or DELETE and refuses If-Match, each with the reason."""

BY_NAME = {each.name: each for each in OPERATIONS}
READS = [each for each in OPERATIONS if each.method == "GET"]
STALE = b'"0-0000000000000000"'


@pytest.fixture
def not_counted(sender: Sender) -> None:
    """Requests for a post name a draft: each view of a published one is counted, and changes its ETag."""
    sender.world.name_in_requests("posts", DRAFT)


def read_of(operation: Operation) -> Operation:
    """The read of the row that an operation changes: `GET /orders/{id}` of `PATCH /orders/{id}/status`."""
    paths = [each.path for each in TAGGED if f"{operation.path}/".startswith(f"{each.path}/")]
    return BY_NAME[f"GET {max(paths, key=len)}"]


def edit_of(read: Operation) -> Operation:
    """An edit of the row that an operation reads."""
    return next(each for each in GUARDED if each.method == "PATCH" and read_of(each) == read)


async def tag_of(sender: Sender, operation: Operation) -> bytes:
    """The ETag of the row that an operation changes."""
    response = await sender.send(read_of(operation))
    return response.headers["ETag"].encode()


def query_of(sender: Sender, operation: Operation, status: OrderStatus) -> bytes | None:
    takes_status = any(each["name"] == "new_status" for each in operation.parameters("query"))
    return sender.query(operation, new_status=status) if takes_status else None


async def change(sender: Sender, operation: Operation, **headers: bytes) -> httpx.Response:
    """Send an operation after what was sent before; an order, which was confirmed then, is cancelled."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    query = query_of(sender, operation, OrderStatus.CANCELLED)
    return await sender.send_again(operation, query=query, headers=sent)


class TestRules:
    def test_every_edit_takes_if_match_or_has_a_reason_why_not(self) -> None:
        missing = [each.name for each in EDITING if each not in GUARDED and each.name not in NO_SINGLE_ROW]
        assert not missing, (
            f"{', '.join(missing)}: let the table class inherit from `Versioned` in place of `Timestamps`, and hand "
            "its row to the route by a dependency; or say why not in NO_SINGLE_ROW of tests/house/test_preconditions.py"
        )

    def test_every_reason_is_of_an_edit_that_refuses_if_match(self) -> None:
        assert {each.name for each in EDITING if each not in GUARDED} == NO_SINGLE_ROW.keys()

    def test_only_edits_take_if_match_and_only_reads_take_if_none_match(self) -> None:
        assert set(GUARDED) <= set(EDITING)
        assert set(TAGGED) <= set(READS)

    @pytest.mark.parametrize("operation", GUARDED, ids=named)
    def test_an_edit_declares_its_precondition(self, operation: Operation) -> None:
        responses = operation.spec["responses"]
        assert {"400", "412", "422"} <= responses.keys()
        done = [each for code, each in responses.items() if code.startswith("2") and each.get("content")]
        assert all("ETag" in each["headers"] for each in done), operation.name

    @pytest.mark.parametrize("operation", TAGGED, ids=named)
    def test_a_read_of_a_row_declares_its_etag(self, operation: Operation) -> None:
        responses = operation.spec["responses"]
        assert "ETag" in responses["200"]["headers"]
        assert "ETag" in responses["304"]["headers"]
        assert "content" not in responses["304"]

    @pytest.mark.parametrize("name", [name for name in FAMILIES if name.endswith("Update")])
    def test_a_version_guards_every_column_that_an_update_writes(self, name: str) -> None:
        schema = FAMILIES[name]
        entity: Any = ENTITIES[name.removesuffix("Update").replace("Profile", "User")]
        assert issubclass(entity, Versioned), (
            f"{file_of(entity)}: let {entity.__name__} inherit from `Versioned` in place of `Timestamps`"
        )
        written = schema.model_fields.keys() & entity.__table__.columns.keys()
        missing = sorted(written - entity.edited_columns())
        assert not missing, f"{file_of(entity)}: add {missing} to `edited` of {entity.__name__}, since {name} writes it"


@pytest.mark.usefixtures("not_counted")
@pytest.mark.parametrize("operation", GUARDED, ids=named)
class TestIfMatch:
    async def test_the_present_etag_lets_an_edit_pass(self, sender: Sender, operation: Operation) -> None:
        tag = await tag_of(sender, operation)
        assert (await sender.send(operation, headers={"If-Match": STALE + b", " + tag})).is_success

    async def test_an_edit_of_what_was_edited_meanwhile_is_refused_and_nothing_changes(
        self, sender: Sender, operation: Operation
    ) -> None:
        tag = await tag_of(sender, operation)
        other = await sender.send(edit_of(read_of(operation)))
        assert other.is_success, other.text
        before = await sender.world.contents()

        refused = await change(sender, operation, If_Match=tag)

        assert_refused(refused, 412, "Read it again")
        assert await sender.world.contents() == before
        assert (await change(sender, operation, If_Match=await self.present_tag(sender, operation))).is_success

    async def present_tag(self, sender: Sender, operation: Operation) -> bytes:
        return (await sender.send_again(read_of(operation))).headers["ETag"].encode()

    async def test_the_answer_has_the_etag_of_the_next_edit(self, sender: Sender, operation: Operation) -> None:
        answered = await sender.send(operation, headers={"If-Match": b"*"})
        assert answered.is_success, answered.text
        if not answered.content:
            assert "ETag" not in answered.headers
            return
        assert (await change(sender, operation, If_Match=answered.headers["ETag"].encode())).status_code < 300

    async def test_of_two_editors_at_once_exactly_one_wins(self, sender: Sender, operation: Operation) -> None:
        tag = await tag_of(sender, operation)
        answers = await sender.send_together(operation, 4, {"If-Match": tag})
        won = [each for each in answers if each.is_success]
        assert len(won) == 1, [(each.status_code, each.text) for each in answers]
        assert {each.status_code for each in answers if not each.is_success} <= {
            412,
            404,
        }  # deleted, it is no longer there

    async def test_a_weak_etag_never_matches(self, sender: Sender, operation: Operation) -> None:
        tag = await tag_of(sender, operation)
        assert_refused(await sender.send(operation, headers={"If-Match": b"W/" + tag}), 412, "weak ETag")

    async def test_an_edit_refuses_if_none_match(self, sender: Sender, operation: Operation) -> None:
        refused = await sender.send(operation, headers={"If-None-Match": b"*"})
        assert_refused(refused, 400, "takes no If-None-Match")


@pytest.mark.usefixtures("not_counted")
@pytest.mark.parametrize("operation", TAGGED, ids=named)
class TestIfNoneMatch:
    async def test_what_is_unchanged_is_not_sent_again(self, sender: Sender, operation: Operation) -> None:
        first = await sender.send(operation)
        tag = first.headers["ETag"].encode()

        for header in (tag, b"W/" + tag, STALE + b",," + tag, b"*"):
            again = await sender.send(operation, headers={"If-None-Match": header})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["ETag"] == first.headers["ETag"]
            assert again.headers["Cache-Control"] == first.headers["Cache-Control"]

    async def test_what_is_another_is_sent(self, sender: Sender, operation: Operation) -> None:
        first = await sender.send(operation)
        other = await sender.send(operation, headers={"If-None-Match": STALE})
        assert (other.status_code, other.content) == (200, first.content)

    async def test_head_has_the_etag_of_get(self, sender: Sender, operation: Operation) -> None:
        head = Operation("HEAD", operation.path, operation.spec)
        tag = (await sender.send(operation)).headers["ETag"]
        assert (await sender.send(head)).headers["ETag"] == tag
        assert (await sender.send(head, headers={"If-None-Match": tag.encode()})).status_code == 304


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each not in GUARDED], ids=named)
async def test_whatever_takes_no_if_match_refuses_it(sender: Sender, operation: Operation) -> None:
    await sender.restore()
    before = await sender.world.contents()

    refused = await sender.send(operation, headers={"If-Match": b"*"})

    assert_refused(refused, 400, "takes no If-Match")
    assert await sender.world.contents() == before
    assert "takes no If-Match" in operation.spec["responses"]["400"]["description"]


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.method == "POST"], ids=named)
async def test_a_post_refuses_if_none_match(sender: Sender, operation: Operation) -> None:
    assert_refused(await sender.send(operation, headers={"If-None-Match": b"*"}), 400, "takes no If-None-Match")
