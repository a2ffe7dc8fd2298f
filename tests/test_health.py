"""/ and /health, and what the app answers where no route does."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from sqlalchemy import make_url
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from api import __version__
from api.database.sessions import Database
from api.main import create_app
from api.models.category import Category
from api.models.user import User
from api.settings import Pool, Settings
from api.web.problems import PROBLEM_JSON
from tests.conftest import Connect
from tests.support import assert_refused, count_statements

MEGABYTE = 1_048_576


async def chunks(how_many: int) -> AsyncIterator[bytes]:
    """A body that does not say how long it is."""
    yield b'{"name": "'
    for _ in range(how_many):
        yield b"x" * 65_536
    yield b'"}'


def assert_problem(response: httpx.Response, status: int, title: str) -> None:
    assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM_JSON)
    problem = response.json()
    assert (problem["type"], problem["title"], problem["status"]) == ("about:blank", title, status)


class TestWelcome:
    async def test_says_what_this_is(self, client: AsyncClient, settings: Settings) -> None:
        response = await client.get("/")

        assert response.json() == {
            "name": settings.shop_name,
            "version": __version__,
            "currency": settings.currency,
            "docs": "/docs",
        }


class TestLive:
    async def test_asks_nothing_of_the_database(self, client: AsyncClient, database: Database) -> None:
        with count_statements(database) as statements:
            response = await client.get("/health")

        assert (response.status_code, response.json()) == (200, {"status": "ok"})
        assert statements == []


class TestReady:
    async def test_asks_the_database(self, client: AsyncClient, database: Database) -> None:
        with count_statements(database) as statements:
            response = await client.get("/health/ready")

        assert (response.status_code, response.json()) == (200, {"status": "ok"})
        assert len(statements) == 1

    async def test_without_a_database_the_shop_lives_but_is_not_ready(self, settings: Settings) -> None:
        url = make_url(settings.database_url)
        gone_url = url.set(database="/nowhere/shop.db") if url.get_backend_name() == "sqlite" else url.set(port=9)
        gone = Settings(_env_file=None, database_url=gone_url.render_as_string(hide_password=False))
        app = create_app(gone)
        async with (
            app.router.lifespan_context(app),
            AsyncClient(transport=ASGITransport(app), base_url="http://test.example") as client,
        ):
            assert (await client.get("/health")).status_code == 200
            assert (await client.get("/")).status_code == 200
            for path in ("/health/ready", "/categories", "/posts/1"):
                response = await client.get(path)
                assert_problem(response, 503, "Service Unavailable")
                assert int(response.headers["Retry-After"]) >= 1
                assert "127.0.0.1" not in response.text
            signing_in = {"username": "a", "password": "b"}
            assert_problem(await client.post("/auth/token", data=signing_in), 503, "Service Unavailable")


class TestPool:
    async def test_staff_read_its_numbers(self, as_staff: AsyncClient, database: Database, settings: Settings) -> None:
        before = (await as_staff.get("/health/db")).json()
        async with database.reads() as session:
            await session.exec(select(User.id))
            held = (await as_staff.get("/health/db")).json()

        assert before.keys() == {"database", "size", "in_use", "available", "overflow"}
        assert held["database"] == make_url(settings.database_url).get_backend_name()
        assert held["size"] == {"sqlite": 5}.get(held["database"], 10)
        assert held["in_use"] == before["in_use"] + 1
        assert held["in_use"] + held["available"] <= held["size"] + held["overflow"]
        assert held["overflow"] >= 0

    async def test_nobody_else_does(self, client: AsyncClient, as_customer: AsyncClient) -> None:
        assert_refused(await client.get("/health/db"), 401)
        assert_refused(await as_customer.get("/health/db"), 403)

    async def test_they_are_null_without_a_pool(self, connect: Connect, staff: User, settings: Settings) -> None:
        token = (await connect(staff)).headers["Authorization"]
        app = create_app(settings.model_copy(update={"database_pool": Pool.NONE}))
        async with (
            app.router.lifespan_context(app),
            AsyncClient(transport=ASGITransport(app), base_url="http://test.example") as client,
        ):
            response = await client.get("/health/db", headers={"Authorization": token})

        name = make_url(settings.database_url).get_backend_name()
        assert response.json() == {"database": name, "size": None, "in_use": None, "available": None, "overflow": None}


class TestErrors:
    @pytest.mark.parametrize("path", ["/nothing", "/users/1/nothing", "/health/nothing", "/%00", "/%ff", "/../etc"])
    async def test_an_unknown_path_is_not_found(self, client: AsyncClient, path: str) -> None:
        assert_problem(await client.get(path), 404, "Not Found")

    @pytest.mark.parametrize(
        ("method", "path"),
        [("PUT", "/"), ("POST", "/health"), ("PATCH", "/posts"), ("DELETE", "/users")],
    )
    async def test_a_wrong_method_is_not_allowed(self, client: AsyncClient, method: str, path: str) -> None:
        response = await client.request(method, path)

        assert_problem(response, 405, "Method Not Allowed")
        assert response.headers["Allow"]

    @pytest.mark.parametrize("path", ["/health", "/health/ready", "/posts", "/tags"])
    async def test_a_trailing_slash_makes_no_difference(
        self, client: AsyncClient, session: AsyncSession, path: str
    ) -> None:
        without, with_slash = await client.get(path), await client.get(f"{path}/")

        assert (without.status_code, with_slash.status_code) == (200, 200)
        assert without.content == with_slash.content

    async def test_nor_does_it_where_something_is_written(self, as_staff: AsyncClient) -> None:
        assert (await as_staff.post("/tags/", json={"name": "Vinyl"})).status_code == 201
        assert_problem(await as_staff.get("/nothing/"), 404, "Not Found")

    @pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "application/x-www-form-urlencoded", ""])
    async def test_a_body_of_another_content_type_is_refused(self, as_staff: AsyncClient, content_type: str) -> None:
        headers = {"Content-Type": content_type}

        response = await as_staff.post("/tags", content=b'{"name": "Vinyl"}', headers=headers)

        assert_problem(response, 422, "Unprocessable Content")

    @pytest.mark.parametrize("body", [b"{", b'{"name": }', b"{'name': 'Vinyl'}", b'{"name": "Vinyl"} x', b"\x00"])
    async def test_a_body_that_is_no_json_is_refused(self, as_staff: AsyncClient, body: bytes) -> None:
        response = await as_staff.post("/tags", content=body, headers={"Content-Type": "application/json"})

        assert_problem(response, 422, "Unprocessable Content")
        assert [error["field"] for error in response.json()["errors"]] == ["body"]

    async def test_a_body_that_is_too_large_is_refused(self, as_staff: AsyncClient) -> None:
        response = await as_staff.post("/tags", json={"name": "x" * (MEGABYTE + 1)})

        assert_problem(response, 413, "Content Too Large")

    async def test_also_where_it_does_not_say_how_large_it_is(self, as_staff: AsyncClient) -> None:
        headers = {"Content-Type": "application/json"}

        small = await as_staff.post("/tags", content=chunks(1), headers=headers)
        large = await as_staff.post("/tags", content=chunks(17), headers=headers)

        assert_refused(small, 422, "body.name")
        assert_problem(large, 413, "Content Too Large")

    async def test_a_body_that_is_not_wanted_does_no_harm(self, client: AsyncClient, session: AsyncSession) -> None:
        response = await client.request("GET", "/categories", json={"name": "Vinyl"})

        assert response.json()["total"] == len((await session.exec(select(Category.id))).all())

    async def test_a_mistake_of_the_shop_tells_nothing(
        self, app: FastAPI, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*args: Any) -> None:
            raise RuntimeError("secret")

        monkeypatch.setattr(app.state.database, "reads", broken)
        transport = ASGITransport(app, raise_app_exceptions=False)
        async with AsyncClient(transport=transport, base_url="http://test.example") as client:
            response = await client.get("/tags")

        assert_problem(response, 500, "Internal Server Error")
        assert "secret" not in response.text
