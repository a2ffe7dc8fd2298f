"""The events of the document: of each type, what an envelope holds, derived from `PAYLOADS`.

FastAPI's own `webhooks` would describe them as requests to the shop, and so each Read class twice: as what a client may
send, and as what the shop answers.
"""

from typing import Any, Literal

from pydantic import create_model
from pydantic.json_schema import models_json_schema

from api.models.base import Schema
from api.models.event import EventRead, EventType
from api.models.payloads import PAYLOADS
from api.openapi.nodes import Json

DESCRIPTION = "`data` is the row as the API answered it at that moment. `GET /events` has the same."


def webhooks() -> tuple[Json, Json]:
    """The webhooks of the document, and the schemas that they refer to."""
    envelopes = {each: _envelope(each, payload) for each, payload in PAYLOADS.items()}
    template = "#/components/schemas/{model}"
    references, definitions = models_json_schema(
        [(each, "serialization") for each in envelopes.values()], ref_template=template
    )
    schemas: Json = definitions["$defs"]
    found = {
        happened.value: {"post": _operation(happened, references[envelope, "serialization"])}
        for happened, envelope in envelopes.items()
    }
    return found, schemas


def _envelope(happened: EventType, payload: type[Schema]) -> type[EventRead]:
    """`OrderPlacedEvent`, whose `type` is always the same."""
    name = "".join(word.capitalize() for word in happened.value.split("."))
    literal: Any = Literal  # to a type checker its values stand in the code
    only = literal[happened.value]
    return create_model(f"{name}Event", __base__=EventRead, type=(only, ...), data=(payload, ...))


def _operation(happened: EventType, envelope: Json) -> Json:
    return {
        "tags": ["events"],
        "summary": happened.value.replace(".", " ").capitalize(),
        "description": DESCRIPTION,
        "requestBody": {"required": True, "content": {"application/json": {"schema": envelope}}},
        "responses": {"2XX": {"description": "The event has been taken."}},
    }
