"""The events of the document: of each type, what an envelope holds, derived from `PAYLOADS`; and the test of a webhook.

FastAPI's own `webhooks` would describe them as requests to the shop, and so each Read class twice: as what a client may
send, and as what the shop answers.
"""

from typing import Annotated, Any, Literal

from pydantic import Field as Limits
from pydantic import create_model
from pydantic.json_schema import models_json_schema

from api.models.base import Schema
from api.models.event import EventRead, EventSubject, EventType
from api.models.payloads import PAYLOADS, SUBJECTS
from api.models.webhook import WebhookTestEvent
from api.openapi.nodes import Json

TEST = "webhook.test"
TAG = "sent events"
"""Of its own: generators write a file for each tag, which must not take the place of that of the routes of `events`."""
DESCRIPTION = (
    "`data` is the row as the API answered it at that moment. `GET /events` has the same. "
    "What is sent to a webhook is signed (Standard Webhooks)."
)
TEST_DESCRIPTION = "What `POST /webhooks/{id}/test` has sent, signed as events are; `data` is the webhook."


def webhooks() -> tuple[Json, Json]:
    """The webhooks of the document, and the schemas that they refer to."""
    envelopes: dict[str, type[Schema]] = {each.value: _envelope(each, payload) for each, payload in PAYLOADS.items()}
    envelopes |= {TEST: WebhookTestEvent}
    template = "#/components/schemas/{model}"
    references, definitions = models_json_schema(
        [(each, "serialization") for each in envelopes.values()], ref_template=template
    )
    schemas: Json = definitions["$defs"]
    found = {
        happened: {"post": _operation(happened, references[envelope, "serialization"])}
        for happened, envelope in envelopes.items()
    }
    return found, schemas


def _envelope(happened: EventType, payload: type[Schema]) -> type[EventRead]:
    """`OrderPlacedEvent`, whose `type` is always the same."""
    name = "".join(word.capitalize() for word in happened.value.split("."))
    literal: Any = Literal  # to a type checker its values stand in the code
    only = literal[happened.value]
    subject = Annotated[EventSubject, Limits(examples=[f"{SUBJECTS[happened.value.split('.')[0]]}/7"])]
    return create_model(
        f"{name}Event", __base__=EventRead, type=(only, ...), subject=(subject, ...), data=(payload, ...)
    )


def _operation(happened: str, envelope: Json) -> Json:
    return {
        "tags": [TAG],
        "operationId": f"events.{happened.replace('.', '_')}",
        "security": [],
        "summary": happened.replace(".", " ").capitalize(),
        "description": TEST_DESCRIPTION if happened == TEST else DESCRIPTION,
        "requestBody": {"required": True, "content": {"application/json": {"schema": envelope}}},
        "responses": {"2XX": {"description": "The event has been taken."}},
    }
