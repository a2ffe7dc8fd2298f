"""Who may do what: every route, called by everybody, with the rows of one customer.

What `MATRIX` declares is what the app does, on each database. A route without a line fails a test, and so does a line
without a route: whoever adds a route says here who may call it.
"""

import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from api.commands.verify import verify
from api.main import create_app
from api.settings import Settings
from tests.world import (
    BAD,
    CATEGORY,
    DRAFT,
    FOURTH_ACCOUNT,
    INACTIVE_PRODUCT,
    KEY,
    NOTIFICATION,
    ORDER,
    OWNER,
    OWNER_ACCOUNT,
    PAYMENT,
    PRIVATE,
    PRODUCT,
    PUBLISHED,
    TAG,
    World,
    elsewhere,
)
from tests.support import PASSWORD, Contract, Seed

MATRIX = """
route                                              nobody  owner  other  staff

GET    /                                              200    200    200    200
GET    /docs                                          200    200    200    200
GET    /docs/{digest}/{path}                          200    200    200    200
GET    /openapi.json                                  200    200    200    200
GET    /health                                        200    200    200    200
GET    /health/ready                                  200    200    200    200
GET    /health/db                                     401    403    403    200

POST   /auth/token                                    200    200    200    200
DELETE /auth/token                                    401    204    204    204
POST   /auth/password                                 401    204    204    204
GET    /auth/keys                                     401    200    200    200
POST   /auth/keys                                     401    201    201    201
DELETE /auth/keys/{id}                                401    204    404    404

POST   /users                                         201    201    201    201
POST   /users/bulk                                    401    403    403    201
GET    /users                                         401    403    403    200
GET    /users/search                                  401    403    403    200
GET    /users/me                                      401    200    200    200
PATCH  /users/me                                      401    200    200    200
GET    /users/by-email/{email}                        401    403    403    200
GET    /users/stats/active-count                      401    403    403    200
GET    /users/stats/top-spenders                      401    403    403    200
PATCH  /users/bulk/deactivate                         401    403    403    200
DELETE /users/bulk/inactive                           401    403    403    200
GET    /users/{id}                                    401    200    404    200
GET    /users/{id}/with-posts                         401    200    404    200
PUT    /users/{id}                                    401    200    404    200
PATCH  /users/{id}                                    401    200    404    200
PATCH  /users/{id}  (deactivate)                      401    403    404    200
PATCH  /users/{id}  (make staff)                      401    403    404    200
DELETE /users/{id}                                    401    204    404    204
DELETE /users/{id}/soft                               401    200    404    200

GET    /categories                                    200    200    200    200
GET    /categories/tree                               200    200    200    200
GET    /categories/{id}                               200    200    200    200
GET    /categories/{id}/products                      200    200    200    200
POST   /categories                                    401    403    403    201
PUT    /categories/{id}                               401    403    403    200
PATCH  /categories/{id}                               401    403    403    200
DELETE /categories/{id}                               401    403    403    204

GET    /products                                      200    200    200    200
GET    /products  (inactive ones)                     403    403    403    200
GET    /products/stats/by-category                    200    200    200    200
GET    /products/low-stock                            401    403    403    200
GET    /products/by-sku/{sku}                         200    200    200    200
GET    /products/by-sku/{sku}  (inactive)             404    404    404    200
GET    /products/by-slug/{slug}                       200    200    200    200
GET    /products/by-slug/{slug}  (inactive)           404    404    404    200
GET    /products/{id}                                 200    200    200    200
GET    /products/{id}  (inactive)                     404    404    404    200
POST   /products                                      401    403    403    201
POST   /products/bulk                                 401    403    403    201
PUT    /products/{id}                                 401    403    403    200
PATCH  /products/{id}                                 401    403    403    200
DELETE /products/{id}                                 401    403    403    204
POST   /products/{id}/stock                           401    403    403    201
GET    /products/{id}/movements                       401    403    403    200

POST   /orders                                        401    201    201    201
POST   /orders  (for the owner)                       401    201    403    201
GET    /orders                                        401    200    200    200
GET    /orders/stats/summary                          401    403    403    200
GET    /orders/user/{user_id}                         401    200    404    200
GET    /orders/{id}                                   401    200    404    200
GET    /orders/{id}/details                           401    200    404    200
PATCH  /orders/{id}/status                            401    403    404    200
POST   /orders/{id}/cancel                            401    200    404    200
GET    /orders/{id}/events                            401    200    404    200
GET    /orders/{id}/payments                          401    200    404    200
POST   /orders/{id}/payments  (store credit)          401    201    404    403
POST   /orders/{id}/payments  (card)                  401    403    404    201
POST   /payments/{id}/refunds                         401    403    403    201

GET    /accounts                                      401    403    403    200
GET    /accounts/me                                   401    200    200    200
GET    /accounts/{id}/transactions                    401    200    404    200
POST   /accounts/transfers                            401    201    201    201
POST   /accounts/transfers  (from the owner's)        401    201    404    201
POST   /accounts/transfers  (to the shop's)           401    422    422    201
POST   /accounts/{id}/deposits                        401    403    403    201

GET    /posts                                         200    200    200    200
GET    /posts  (the owner's drafts)                   200    200    200    200
GET    /posts/by-slug/{slug}                          200    200    200    200
GET    /posts/by-slug/{slug}  (draft)                 404    200    404    200
GET    /posts/{id}                                    200    200    200    200
GET    /posts/{id}  (draft)                           404    200    404    200
POST   /posts                                         401    201    201    201
PUT    /posts/{id}                                    401    200    404    200
PATCH  /posts/{id}                                    401    200    404    200
PATCH  /posts/{id}  (draft)                           401    200    404    200
DELETE /posts/{id}                                    401    204    404    204
GET    /tags                                          200    200    200    200
POST   /tags                                          401    403    403    201
PATCH  /tags/{id}                                     401    403    403    200
DELETE /tags/{id}                                     401    403    403    204

GET    /notifications                                 401    200    200    200
POST   /notifications/{id}/read                       401    200    404    404
"""
"""The owner is the customer whose rows are asked for. 404 says no more than that of a row that does not exist."""

IDS = {
    "auth/keys": KEY,
    "users": OWNER,
    "orders/user": OWNER,
    "categories": CATEGORY,
    "products": PRODUCT,
    "orders": ORDER,
    "payments": PAYMENT,
    "accounts": OWNER_ACCOUNT,
    "posts": PUBLISHED,
    "tags": TAG,
    "notifications": NOTIFICATION,
}
"""The row that `{id}` stands for, by the path before it."""

NAMES = {"email": f"{PRIVATE}@example.com", "sku": "WH-9", "path": "swagger-ui.css"}

NEWCOMER = {"username": "newcomer", "email": "newcomer@example.com", "password": PASSWORD}
GADGET = {"name": "Gadget", "sku": "G-1", "price": "9.99"}
LETTER = {"title": "Letter", "content": "Dear all"}
LINES = [{"product_id": PRODUCT, "quantity": 1}]
FIVE = {"amount": "5.00"}
TO_A_FOURTH = {**FIVE, "to_account_id": FOURTH_ACCOUNT}

REQUESTS: dict[str, dict[str, Any]] = {
    "POST /auth/token": {"data": {"username": "owner", "password": PASSWORD}},
    "POST /auth/password": {"json": {"current_password": PASSWORD, "new_password": "SaferPass456"}},
    "POST /auth/keys": {"json": {"name": "Stock sync"}},
    "POST /users": {"json": NEWCOMER},
    "POST /users/bulk": {"json": [NEWCOMER]},
    "GET /users/search": {"params": {"q": "own"}},
    "PATCH /users/me": {"json": {"bio": "Hello."}},
    "PATCH /users/bulk/deactivate": {"params": {"days": 1}},
    "PUT /users/{id}": {"json": {"username": "owner", "email": "owner@example.com"}},
    "PATCH /users/{id}": {"json": {"bio": "Hello."}},
    "PATCH /users/{id} (deactivate)": {"json": {"is_active": False}},
    "PATCH /users/{id} (make staff)": {"json": {"is_superuser": True}},
    "POST /categories": {"json": {"name": "Video"}},
    "PUT /categories/{id}": {"json": {"name": "Video"}},
    "PATCH /categories/{id}": {"json": {"name": "Video"}},
    "GET /products (inactive ones)": {"params": {"is_active": False}},
    "GET /products/by-sku/{sku} (inactive)": {"sku": PRIVATE.upper()},
    "GET /products/by-slug/{slug}": {"slug": "wh-9"},
    "GET /products/by-slug/{slug} (inactive)": {"slug": PRIVATE},
    "GET /products/{id} (inactive)": {"id": INACTIVE_PRODUCT},
    "POST /products": {"json": GADGET},
    "POST /products/bulk": {"json": [GADGET]},
    "PUT /products/{id}": {"json": GADGET},
    "PATCH /products/{id}": {"json": {"price": "1.00"}},
    "POST /products/{id}/stock": {"json": {"delta": 1, "reason": "Found one"}},
    "POST /orders": {"json": {"items": LINES}},
    "POST /orders (for the owner)": {"json": {"items": LINES, "user_id": OWNER}},
    "PATCH /orders/{id}/status": {"params": {"new_status": "confirmed"}},
    "POST /orders/{id}/payments (store credit)": {"json": {**FIVE, "method": "store_credit"}},
    "POST /orders/{id}/payments (card)": {"json": {**FIVE, "method": "card"}},
    "POST /payments/{id}/refunds": {"json": {**FIVE, "reason": "Scratched"}},
    "POST /accounts/transfers": {"json": TO_A_FOURTH},
    "POST /accounts/transfers (from the owner's)": {"json": {**TO_A_FOURTH, "from_account_id": OWNER_ACCOUNT}},
    "POST /accounts/transfers (to the shop's)": {"json": {**FIVE, "to_account_id": 1}},
    "POST /accounts/{id}/deposits": {"json": FIVE},
    "GET /posts (the owner's drafts)": {"params": {"status": "draft", "author_id": OWNER}},
    "GET /posts/by-slug/{slug}": {"slug": "published"},
    "GET /posts/by-slug/{slug} (draft)": {"slug": PRIVATE},
    "GET /posts/{id} (draft)": {"id": DRAFT},
    "POST /posts": {"json": LETTER},
    "PUT /posts/{id}": {"json": LETTER},
    "PATCH /posts/{id}": {"json": {"content": "Dear all"}},
    "PATCH /posts/{id} (draft)": {"id": DRAFT, "json": {"status": "published"}},
    "POST /tags": {"json": {"name": "Tests"}},
    "PATCH /tags/{id}": {"json": {"name": "Tests"}},
}
"""What is sent, and what stands in the path where it is not the row of `IDS`."""


@dataclass(frozen=True)
class Line:
    """One line of the matrix."""

    method: str
    path: str
    case: str
    statuses: dict[str, int]

    @property
    def route(self) -> str:
        return f"{self.method} {self.path}"

    def __str__(self) -> str:
        return f"{self.route} ({self.case})" if self.case else self.route

    def request(self, app: FastAPI) -> dict[str, Any]:
        """The path with what stands in it, and what is sent."""
        given = dict(REQUESTS.get(str(self), {}))
        before = self.path.partition("/{")[0].strip("/")
        row_id = IDS.get(before)
        values = {"id": row_id, "user_id": row_id, "digest": digest(app), **NAMES, **given}
        sent = {name: value for name, value in given.items() if name in ("json", "data", "params")}
        return {"path": self.path.format(**values), **sent}


def lines() -> Iterator[Line]:
    heading, *rest = (line for line in MATRIX.splitlines() if line)
    callers = heading.split()[1:]
    for line in rest:
        method, path, case, statuses = re.fullmatch(r"(\w+) +(\S+)(?:  \((.+)\))? +([ \d]+)", line).groups()  # type: ignore[union-attr]
        yield Line(method, path, case or "", dict(zip(callers, map(int, statuses.split()), strict=True)))


def digest(app: FastAPI) -> str:
    """Where /docs has its files."""
    (found,) = (match[1] for path in paths(app) if (match := re.fullmatch(r"/docs/(\w+)/{path}", path)))
    return found


def paths(app: FastAPI) -> list[str]:
    return [getattr(context, "path_format", None) or str(context.path) for context in iter_route_contexts(app.routes)]


def routes(app: FastAPI) -> set[str]:
    """Every route that the app has, those of /docs too. A HEAD is answered like the GET that it belongs to."""
    contexts = zip(iter_route_contexts(app.routes), paths(app), strict=True)
    return {
        f"{method} {path.replace(digest(app), '{digest}')}"
        for context, path in contexts
        for method in (context.methods or {"GET"})  # of a mount, which serves files
        if method != "HEAD"
    }


@pytest.fixture(scope="module")
def known() -> set[str]:
    """The routes there are."""
    return routes(create_app(Settings(_env_file=None, database_url="sqlite:///unused.db")))


class TestTheMatrix:
    def test_has_a_line_for_every_route(self, known: set[str]) -> None:
        missing = known - {line.route for line in lines()}
        assert not missing, f"say in MATRIX who may call {', '.join(sorted(missing))}"

    def test_has_no_line_for_a_route_that_is_gone(self, known: set[str]) -> None:
        stale = {line.route for line in lines()} - known
        assert not stale, f"MATRIX has lines for {', '.join(sorted(stale))}, which do not exist"

    def test_has_no_line_twice_and_no_request_without_a_line(self) -> None:
        named = [str(line) for line in lines()]
        assert len(named) == len(set(named))
        assert set(REQUESTS) - set(named) == set()

    def test_refuses_staff_only_what_is_somebodys_alone(self) -> None:
        """Keys, notifications, and the credit to pay with."""
        refused = {line.route for line in lines() if line.statuses["staff"] >= 400}
        alone = {"DELETE /auth/keys/{id}", "POST /orders/{id}/payments", "POST /notifications/{id}/read"}
        assert refused == alone


@pytest.fixture(scope="module")
async def world(app: FastAPI, contract: Contract, seed: Seed, anyio_backend: str) -> AsyncIterator[World]:
    world = World(app, contract, seed)
    async with world.client:
        yield world


async def test_the_world_is_one_that_could_be(world: World) -> None:
    await world.restore()
    assert await verify(world.database)


@pytest.mark.parametrize("line", list(lines()), ids=str)
class TestEveryRoute:
    async def test_answers_each_caller_as_declared(self, app: FastAPI, world: World, line: Line) -> None:
        """And a refusal leaves no trace in the database, and no answer tells others what is the owner's alone."""
        request = line.request(app)
        expected = {**line.statuses, "the owner's API key": line.statuses["owner"]}
        await world.restore()
        before = await world.rows()
        answered = {}
        for caller in sorted(expected, key=lambda caller: -expected[caller]):  # refusals first: they change nothing
            response = await world.send(caller, line.method, **request)
            answered[caller] = response.status_code
            if response.is_error:
                assert await world.rows() == before, f"{line} by {caller} was refused, but changed something"
            elif line.method != "GET":
                await world.restore()
            if caller in ("nobody", "other"):
                assert PRIVATE not in response.text.lower(), f"{line} tells {caller} too much: {response.text}"
        assert answered == expected

    async def test_refuses_tokens_that_are_not_valid(self, app: FastAPI, world: World, line: Line) -> None:
        """Also where none is needed, unless it is not even looked at."""
        operation = app.openapi()["paths"].get(line.path, {}).get(line.method.lower(), {})
        if "security" not in operation:
            return
        request = line.request(app)
        await world.restore()
        before = await world.rows()
        answered = {caller: (await world.send(caller, line.method, **request)).status_code for caller in BAD}
        assert answered == dict.fromkeys(BAD, 401)
        assert await world.rows() == before

    async def test_refuses_what_is_anothers_like_what_does_not_exist(
        self, app: FastAPI, world: World, line: Line
    ) -> None:
        request = line.request(app)
        await world.restore()
        for caller in ("nobody", "other"):
            if line.statuses[caller] >= 400:
                refused = await world.send(caller, line.method, **request)
                absent = await world.send(caller, line.method, **elsewhere(request))
                assert same(absent) == same(refused), f"{line} tells {caller} whether there is such a row"


def same(response: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    """All that a client can see of an answer but the time that it took."""
    return response.status_code, dict(response.headers), response.content


def test_a_request_for_rows_that_do_not_exist_names_none_that_do() -> None:
    """Or it would be no comparison."""
    everything = [{**IDS, "private": NAMES["email"]}, *REQUESTS.values()]
    left = json.dumps(elsewhere(everything))
    for row_id in {*IDS.values(), DRAFT, INACTIVE_PRODUCT, FOURTH_ACCOUNT}:
        assert str(row_id) not in left
    assert PRIVATE not in left.lower()
