"""Who may call what: every route, called by everybody, with the rows of one customer.

The lines of `ACCESS` in the tests of the routes say what the app answers, on each database. A route without a line
fails a test, and so does a line without a route: whoever adds a route says who may call it.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from types import ModuleType
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api.main import create_app
from api.settings import Settings
from tests.house.access_matrix import Line, for_absent_rows, lines_of, matrix, missing_line, routes
from tests.support import CheckedTransport, Contract
from tests.world import DRAFT, FOURTH_ACCOUNT, INACTIVE_PRODUCT, OWNER, PRIVATE, PRODUCT, World

INVALID_TOKENS = (
    "expired session",
    "expired API key",
    "deactivated user's session",
    "deactivated user's API key",
    "revoked token",
)

NOT_FOR_STAFF = {
    "DELETE /auth/keys/{id}": "an API key belongs to its user",
    "POST /orders/{id}/payments": "store credit is paid by its owner",
    "POST /notifications/{id}/read": "a notification is read by its user",
}
"""Routes that refuse staff the rows of others, each with its reason."""

UNDOCUMENTED = ("/docs", "/openapi.json", "/password-reset", "/email-confirmation", "/registration-confirmation")
"""Paths of pages, which the OpenAPI document does not have."""

Send = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture(scope="module")
def known() -> set[str]:
    """The routes of the app."""
    return routes(create_app(Settings(_env_file=None, database_url="sqlite:///unused.db")))


@pytest.fixture(scope="module")
async def send(app: FastAPI, contract: Contract, world: World) -> AsyncIterator[Send]:
    """Sends a request as a caller. The answer is held against the OpenAPI document, where that has the path."""
    documented, undocumented = CheckedTransport(app, contract), httpx.ASGITransport(app)
    mounts = {"all://test.example": documented, "all://undocumented.example": undocumented}
    secrets = {**world.secrets, "revoked token": f"shop_{'x' * 43}"}
    async with httpx.AsyncClient(mounts=mounts) as client:

        async def send(caller: str, method: str, path: str, **request: Any) -> httpx.Response:
            host = "undocumented" if path.startswith(UNDOCUMENTED) else "test"
            # The same id for all, so that answers can be compared.
            headers = {"X-Request-ID": "access", **request.pop("headers", {})}
            if caller != "nobody":
                headers["Authorization"] = f"Bearer {secrets[caller]}"
            return await client.request(method, f"http://{host}.example{path}", headers=headers, **request)

        yield send


class TestTheMatrix:
    def test_every_route_has_a_line_in_access(self, known: set[str]) -> None:
        missing = sorted(known - {line.route for line in matrix()})
        assert not missing, "\n".join(map(missing_line, missing))

    def test_a_missing_line_is_named_with_its_file(self) -> None:
        message = missing_line("POST /reviews")
        assert message.startswith(
            "no line of ACCESS says who may call POST /reviews: add it to tests/routes/reviews/test_reviews.py, "
            "with the statuses for nobody, owner, other, staff: `POST   /reviews  "
        )

    def test_every_line_of_access_has_a_route(self, known: set[str]) -> None:
        stale = [f"{line} ({line.file})" for line in matrix() if line.route not in known]
        assert not stale, (
            f"ACCESS has lines for routes that do not exist: {', '.join(stale)}. "
            "Is the router in `MODULES` of api/routers/__init__.py?"
        )

    def test_no_line_of_access_stands_twice(self) -> None:
        files: dict[str, list[str]] = {}
        for line in matrix():
            files.setdefault(str(line), []).append(line.file)
        twice = {line: found for line, found in files.items() if len(found) > 1}
        assert not twice, f"lines of ACCESS that stand in more than one place: {twice}"

    def test_staff_are_refused_only_what_belongs_to_one_user(self) -> None:
        refused = {line.route for line in matrix() if line.statuses["staff"] >= 400}
        differing = sorted(refused ^ NOT_FOR_STAFF.keys())
        assert not differing, f"NOT_FOR_STAFF in tests/house/test_access.py and ACCESS disagree about {differing}"

    @pytest.mark.parametrize(
        ("access", "requests", "message"),
        [
            ("nobody owner staff\n", {}, "the heading of ACCESS in tests/test_fake.py must be nobody"),
            ("nobody owner other staff\nGET /x 200 200", {}, "is not a method, a path and four statuses: 'GET /x"),
            ("nobody owner other staff\n", {"GET /x": {}}, "who may call GET /x: add it to tests/test_fake.py"),
        ],
        ids=["heading", "line", "request"],
    )
    def test_a_mistake_in_the_constants_is_named(self, access: str, requests: dict[str, Any], message: str) -> None:
        module: Any = ModuleType("fake")
        module.__file__ = __file__.replace("house/test_access", "test_fake")
        module.ACCESS, module.REQUESTS = access, requests
        with pytest.raises(AssertionError, match=message):
            list(lines_of(module))


@pytest.mark.parametrize("line", matrix(), ids=str)
class TestEveryRoute:
    async def test_each_caller_gets_the_declared_answer(
        self, app: FastAPI, world: World, send: Send, line: Line
    ) -> None:
        """A refusal changes nothing in the database, and no answer tells others what only the owner may know."""
        request = line.request(app, world)
        expected = {**line.statuses, "the owner's API key": line.statuses["owner"]}
        await world.restore()
        before = await world.contents()
        answered = {}
        for caller in sorted(expected, key=lambda caller: -expected[caller]):  # refusals first: they change nothing
            response = await send(caller, line.method, **request)
            answered[caller] = response.status_code
            if response.is_error:
                assert await world.contents() == before, f"{line} refused {caller}, but changed something"
            elif line.method != "GET":
                await world.restore()
            if caller in ("nobody", "other"):
                assert PRIVATE not in response.text.lower(), f"{line} tells {caller} too much: {response.text}"
        assert answered == expected, f"{line} does not answer as ACCESS in {line.file} says"

    async def test_an_invalid_token_is_refused(self, app: FastAPI, world: World, send: Send, line: Line) -> None:
        """Also where a token is optional. A route that ignores tokens is not tested."""
        operation = app.openapi()["paths"].get(line.path, {}).get(line.method.lower(), {})
        if not operation.get("security"):
            return
        request = line.request(app, world)
        await world.restore()
        before = await world.contents()
        answered = {caller: (await send(caller, line.method, **request)).status_code for caller in INVALID_TOKENS}
        assert answered == dict.fromkeys(INVALID_TOKENS, 401)
        assert await world.contents() == before, f"{line} refused an invalid token, but changed something"

    async def test_the_row_of_another_user_is_refused_like_a_row_that_does_not_exist(
        self, app: FastAPI, world: World, send: Send, line: Line
    ) -> None:
        request = line.request(app, world)
        await world.restore()
        for caller in ("nobody", "other"):
            if line.statuses[caller] >= 400:
                refused = await send(caller, line.method, **request)
                absent = await send(caller, line.method, **for_absent_rows(request))
                assert visible(absent) == visible(refused), f"{line} tells {caller} whether there is such a row"


def visible(response: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    """All that a client can see of an answer, except the time that it took."""
    return response.status_code, dict(response.headers), response.content


def test_a_request_for_absent_rows_names_no_row_of_the_world(app: FastAPI, world: World) -> None:
    """Otherwise `for_absent_rows` would be no comparison."""
    requests = [for_absent_rows(line.request(app, world)) for line in matrix()]
    text = json.dumps([requests, for_absent_rows([OWNER, PRODUCT, DRAFT, INACTIVE_PRODUCT, FOURTH_ACCOUNT])])
    named = [row_id for row_id in world.ids() if row_id > 9_000_000 and str(row_id) in text]
    assert not named, f"requests for absent rows name rows of the world: {named}"
    assert PRIVATE not in text.lower(), "requests for absent rows name something private"
