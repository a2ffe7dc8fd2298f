"""The operations that hostile requests are sent to, and what the tests of them share."""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from httpx import Response

from api.main import create_app
from api.settings import Settings
from tests.house.hostile_requests import FORM, JSON, Document, Operation, Place

DOCUMENT = Document(create_app(Settings(_env_file=None, database_url="sqlite:///unused.db")).openapi())
OPERATIONS = DOCUMENT.operations
WITH_BODY = [each for each in OPERATIONS if each.media_type]
WITH_JSON = [each for each in WITH_BODY if each.media_type == JSON]
WITH_FORM = [each for each in WITH_BODY if each.media_type == FORM]


def named(value: Any) -> str:
    """The id of a parametrized case."""
    return value.name if isinstance(value, Operation) else str(value)


def with_parameters(where: str, name: str | None = None) -> list[Operation]:
    """The operations with a parameter in the path, the query or a header, or with one of this name."""
    return [
        each for each in OPERATIONS if any(name in (None, parameter["name"]) for parameter in each.parameters(where))
    ]


def assert_names(response: Response, *sent: tuple[str, Any]) -> None:
    """Check that a request is refused with 422, and that the answer names each of these places."""
    answer = (
        f"{[(place, str(value)[:200]) for place, value in sent]} got {response.status_code}: {response.text[:1_000]}"
    )
    assert response.status_code == 422, answer
    errors = response.json()["errors"]
    assert all(errors.count(each) == 1 for each in errors), f"an error stands there twice: {answer}"
    fields = [each["field"] for each in errors]
    for place, _ in sent:
        assert any(each == place or each.startswith(f"{place}.") for each in fields), f"{place} is not named: {answer}"


def rows(values: dict[Place, list[str]]) -> Iterator[dict[Place, str]]:
    """One value of each place together. A value of a place that holds other places is alone."""
    outer = [place for place in values if any(map(place.holds, values))]
    yield from ({place: text} for place in outer for text in values[place])
    inner = [place for place in values if place not in outer]
    for row in zip_longest(*(values[place] for place in inner)):
        yield {place: text for place, text in zip(inner, row, strict=True) if text is not None}
