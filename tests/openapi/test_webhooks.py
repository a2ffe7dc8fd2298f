"""The document says what the envelope of each type of event holds."""

from typing import Any

import jsonschema_rs
import pytest

from api.main import create_app
from api.models.base import table_classes
from api.models.event import EventType
from api.models.payloads import PAYLOADS
from api.settings import Settings

DOCUMENT = create_app(Settings(_env_file=None, database_url="sqlite:///unused.db")).openapi()
SCHEMAS = DOCUMENT["components"]["schemas"]


def schema_of(happened: str) -> dict[str, Any]:
    """The schema of an envelope, found as a client finds it."""
    body = DOCUMENT["webhooks"][happened]["post"]["requestBody"]["content"]["application/json"]["schema"]
    found: dict[str, Any] = SCHEMAS[body["$ref"].rpartition("/")[2]]
    return found


def test_every_type_is_a_webhook() -> None:
    assert list(DOCUMENT["webhooks"]) == [*(each.value for each in EventType), "webhook.test"]


def test_the_test_of_a_webhook_is_an_envelope_too() -> None:
    schema = schema_of("webhook.test")
    assert list(schema["properties"]) == ["id", "type", "timestamp", "subject", "data"] == schema["required"]
    assert schema["properties"]["type"]["const"] == "webhook.test"
    assert schema["properties"]["data"] == {"$ref": "#/components/schemas/WebhookRead"}


@pytest.mark.parametrize("happened", EventType)
class TestEnvelope:
    def test_its_type_is_constant_and_its_data_is_an_answer(self, happened: EventType) -> None:
        fields = schema_of(happened)["properties"]
        assert list(fields) == ["id", "type", "timestamp", "subject", "data"] == schema_of(happened)["required"]
        assert fields["type"]["const"] == happened.value
        assert fields["data"] == {"$ref": f"#/components/schemas/{PAYLOADS[happened].__name__}"}

    def test_its_example_tells_of_a_row_of_its_kind(self, happened: EventType) -> None:
        table = next(each for each in table_classes() if each.__module__ == PAYLOADS[happened].__module__)
        told = {"refunds": "payments"}.get(str(table.__tablename__), str(table.__tablename__))
        assert schema_of(happened)["properties"]["subject"]["examples"] == [f"{told}/7"]

    def test_every_field_of_its_data_is_always_there(self, happened: EventType) -> None:
        data = SCHEMAS[PAYLOADS[happened].__name__]
        assert data["required"] == list(data["properties"]) == list(PAYLOADS[happened].model_fields)


@pytest.mark.parametrize(("happened", "fits"), [("user.erased", True), ("user.registered", False)])
def test_an_envelope_fits_the_schema_of_its_type_alone(happened: str, fits: bool) -> None:
    erased = {"id": 1, "type": "user.erased", "timestamp": "2026-05-12T09:30:00Z", "subject": "users/7"}
    validator = jsonschema_rs.validator_for({**schema_of(happened), "components": DOCUMENT["components"]})
    assert validator.is_valid({**erased, "data": {"id": 7}}) is fits
