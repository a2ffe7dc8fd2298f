"""The example that the OpenAPI document gives of each request succeeds."""

import pytest

from tests.house.hostile_cases import OPERATIONS, named
from tests.house.hostile_requests import Operation
from tests.house.hostile_sender import Sender

pytestmark = pytest.mark.hostile


@pytest.mark.parametrize("operation", OPERATIONS, ids=named)
async def test_the_documented_example_succeeds(sender: Sender, operation: Operation) -> None:
    response = await sender.send(operation)

    assert response.is_success, f"{operation.name} refused its own example: {response.text}"
