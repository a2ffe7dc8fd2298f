"""A download that breaks off is no success: it is counted as an error, and its line in the log says so."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from httpx import AsyncClient
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.requests import ClientDisconnect
from starlette.types import Scope

from api.import_export import exports
from api.reads.plans import fetch_planned
from api.telemetry.lines import Access, JSONLines, TextLines
from api.telemetry.logs import log
from api.telemetry.metrics import metrics
from api.web import watching
from tests.factories import a_product
from tests.support import assert_refused

ROWS = 3


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[Access]:
    """What the log is told of requests."""
    told: list[Access] = []
    monkeypatch.setattr(log, "has_access", True)
    monkeypatch.setattr(log, "access", told.append)
    return told


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The statuses that are counted."""
    counted: list[int] = []
    monkeypatch.setattr(metrics, "answered", lambda *answer: counted.append(answer[2]))
    return counted


Fail = Callable[[set[int]], list[int]]


@pytest.fixture
async def fail(session: AsyncSession, monkeypatch: pytest.MonkeyPatch) -> Fail:
    """Has some of the statements of an export of several parts find no free connection; returns the numbers of all."""
    for _ in range(ROWS):
        await a_product(session)
    monkeypatch.setattr(exports, "ROWS_AT_A_TIME", 1)
    monkeypatch.setattr(exports, "PAUSE", 0.01)

    def fail(failing: set[int]) -> list[int]:
        numbers: list[int] = []

        async def fetch_or_fail(*arguments: Any) -> Sequence[Any]:
            numbers.append(len(numbers))
            if numbers[-1] in failing:
                raise PoolTimeout("QueuePool limit reached")
            return await fetch_planned(*arguments)

        monkeypatch.setattr(exports, "fetch_planned", fetch_or_fail)
        return numbers

    return fail


class TestExports:
    async def test_one_that_breaks_off_is_counted_and_logged_as_an_error(
        self, as_staff: AsyncClient, fail: Fail, told: list[Access], counted: list[int]
    ) -> None:
        fail({2, 3, 4})

        with pytest.raises(PoolTimeout):
            await as_staff.get("/exports/products")

        assert [(each.status, each.is_cut_off) for each in told] == [(500, True)]
        assert counted == [500]

    async def test_one_that_has_begun_waits_for_a_connection(
        self, as_staff: AsyncClient, fail: Fail, told: list[Access]
    ) -> None:
        fail({1, 3, 4})

        answer = await as_staff.get("/exports/products?format=jsonl")

        assert len(answer.text.splitlines()) == ROWS
        assert [(each.status, each.is_cut_off) for each in told] == [(200, False)]

    async def test_one_that_has_not_begun_is_refused_at_once(self, as_staff: AsyncClient, fail: Fail) -> None:
        numbers = fail({0})

        assert_refused(await as_staff.get("/exports/products"), 503)

        assert numbers == [0]


@pytest.mark.parametrize(
    ("parts", "error", "expected"),
    [
        pytest.param([True, True], ValueError(), (500, True), id="a mistake in the middle"),
        pytest.param([True, False], ValueError(), (200, False), id="a mistake after the last part"),
        pytest.param([True], ClientDisconnect(), (200, False), id="a client that hangs up"),
        pytest.param([True], asyncio.CancelledError(), (200, False), id="a server that stops"),
    ],
)
def test_what_was_cut_off_by_an_error_of_the_shop_is_one(
    parts: list[bool], error: BaseException, expected: tuple[int, bool], told: list[Access]
) -> None:
    scope: Scope = {"method": "GET", "headers": [], "query_string": b"", "path": "/", "client": None, "state": {}}
    watched = watching.Watched(scope, "id")
    watched.note({"type": "http.response.start", "status": 200})
    for more in parts:
        watched.note({"type": "http.response.body", "body": b"part", "more_body": more})

    watched.end(error)

    assert (told[0].status, told[0].is_cut_off) == expected


def test_both_forms_of_the_log_have_the_mark() -> None:
    access = Access("GET", "/exports/{entity}", "/exports/orders", 500, 0.5, 512, "-", 5, "staff", is_cut_off=True)
    assert ',"cut_off":true' in JSONLines().access(access, 0.0)
    assert "500 (cut off) in" in TextLines().access(access, 0.0)
    assert "cut" not in JSONLines().access(access._replace(is_cut_off=False), 0.0)
