"""Every search takes any text for itself: nothing in it means something to a LIKE.

The world has one row of every entity that can be searched with the characters that could.
"""

import pytest

from tests.house.hostile_cases import OPERATIONS, assert_names, named
from tests.house.hostile_requests import Operation
from tests.house.hostile_sender import Sender
from tests.world import ODD

pytestmark = pytest.mark.hostile

SEARCHES = [
    (each, name)
    for each in OPERATIONS
    for name in ("search", "q")
    if name in [one["name"] for one in each.parameters("query")]
]


class TestSearches:
    @pytest.mark.parametrize(("operation", "name"), SEARCHES, ids=named)
    @pytest.mark.parametrize("text", ["%", "_", "\\", "%_", "\\'", ODD])
    async def test_a_wildcard_stands_for_itself(
        self, sender: Sender, operation: Operation, name: str, text: str
    ) -> None:
        response = await sender.send(operation, query=sender.query(operation, **{name: text}))

        is_file = response.headers["content-type"].startswith("text/csv")
        assert (len(response.text.splitlines()) - 1 if is_file else response.json()["total"]) == 1

    @pytest.mark.parametrize(("operation", "name"), SEARCHES, ids=named)
    async def test_a_search_for_50_kilobytes_is_refused(self, sender: Sender, operation: Operation, name: str) -> None:
        for text in ("%" * 50_000, "_%" * 25_000, "\\" * 50_000):
            response = await sender.send(operation, query=sender.query(operation, **{name: text}))
            assert_names(response, (f"query.{name}", text))
