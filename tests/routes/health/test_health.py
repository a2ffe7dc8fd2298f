"""/ and /health: whether the app is live, and whether it is ready."""

from typing import Any

from httpx import ASGITransport, AsyncClient
from sqlalchemy import make_url
from sqlmodel import select

from api import __version__
from api.database.engine import DEFAULT_POOL_SIZE
from api.database.sessions import Database
from api.main import create_app
from api.models.user import User
from api.settings import PoolMode, Settings
from tests.conftest import Connect
from tests.schema import HEAD, OLDEST, changed
from tests.support import assert_refused, count_statements
from tests.web.problems import assert_problem

ACCESS = """
                                              nobody  owner  other  staff
GET    /                                         200    200    200    200
GET    /health                                   200    200    200    200
GET    /health/ready                             200    200    200    200
GET    /health/db                                401    403    403    200
"""

REQUESTS: dict[str, dict[str, Any]] = {}
"""What is sent on a line of `ACCESS`, and what stands in the path where it is not the row of the world."""

RESTORE = f"UPDATE alembic_version SET version_num = '{HEAD}'"
INSERT = f"INSERT INTO alembic_version VALUES ('{HEAD}')"
SHOW = "ALTER TABLE hidden RENAME TO alembic_version"


class TestWelcome:
    async def test_the_welcome_names_the_shop_version_currency_and_docs(
        self, client: AsyncClient, settings: Settings
    ) -> None:
        response = await client.get("/")

        assert response.json() == {
            "name": settings.shop_name,
            "version": __version__,
            "currency": settings.currency,
            "docs": "/docs",
        }


class TestLive:
    async def test_the_liveness_check_sends_no_statement_to_the_database(
        self, client: AsyncClient, database: Database
    ) -> None:
        with count_statements(database) as statements:
            response = await client.get("/health")

        assert (response.status_code, response.json()) == (200, {"status": "ok"})
        assert statements == []


class TestReady:
    async def test_the_readiness_check_sends_one_statement_to_the_database(
        self, client: AsyncClient, database: Database
    ) -> None:
        with count_statements(database) as statements:
            response = await client.get("/health/ready")

        assert (response.status_code, response.json()) == (200, {"status": "ok"})
        assert len(statements) == 1

    async def test_an_app_whose_tables_are_of_another_release_is_not_ready(
        self, client: AsyncClient, database: Database
    ) -> None:
        """Each way back is taken, whatever the test finds."""
        for change, back, reason in (
            ("UPDATE alembic_version SET version_num = 'tomorrow'", RESTORE, "of a newer release than this code"),
            (f"UPDATE alembic_version SET version_num = '{OLDEST}'", RESTORE, "Run `alembic upgrade head`"),
            ("ALTER TABLE alembic_version RENAME TO hidden", SHOW, "has no tables of the shop yet"),
            ("DELETE FROM alembic_version", INSERT, "has no tables of the shop yet"),
        ):
            async with changed(database, change, back):
                assert_refused(await client.get("/health/ready"), 503, reason)
                assert (await client.get("/health")).status_code == 200
            assert (await client.get("/health/ready")).status_code == 200

    async def test_an_app_without_its_database_is_live_but_not_ready(self, settings: Settings) -> None:
        url = make_url(settings.database_url)
        unreachable = url.set(database="/nowhere/shop.db") if url.get_backend_name() == "sqlite" else url.set(port=9)
        app = create_app(Settings(_env_file=None, database_url=unreachable.render_as_string(hide_password=False)))
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
            credentials = {"username": "a", "password": "b"}
            assert_problem(await client.post("/auth/token", data=credentials), 503, "Service Unavailable")


class TestPool:
    async def test_staff_can_read_the_size_and_use_of_the_connection_pool(
        self, as_staff: AsyncClient, database: Database, settings: Settings
    ) -> None:
        before = (await as_staff.get("/health/db")).json()
        async with database.reads() as session:
            await session.exec(select(User.id))
            held = (await as_staff.get("/health/db")).json()

        assert before.keys() == {"database", "size", "in_use", "available", "overflow"}
        assert held["database"] == make_url(settings.database_url).get_backend_name()
        assert held["size"] == DEFAULT_POOL_SIZE
        assert held["in_use"] == before["in_use"] + 1
        assert held["in_use"] + held["available"] <= held["size"] + held["overflow"]
        assert held["overflow"] >= 0

    async def test_only_staff_can_read_the_connection_pool(self, client: AsyncClient, as_customer: AsyncClient) -> None:
        assert_refused(await client.get("/health/db"), 401)
        assert_refused(await as_customer.get("/health/db"), 403)

    async def test_size_and_use_are_null_when_there_is_no_connection_pool(
        self, connect: Connect, staff: User, settings: Settings
    ) -> None:
        token = (await connect(staff)).headers["Authorization"]
        app = create_app(settings.model_copy(update={"database_pool": PoolMode.NONE}))
        async with (
            app.router.lifespan_context(app),
            AsyncClient(transport=ASGITransport(app), base_url="http://test.example") as client,
        ):
            response = await client.get("/health/db", headers={"Authorization": token})

        name = make_url(settings.database_url).get_backend_name()
        assert response.json() == {"database": name, "size": None, "in_use": None, "available": None, "overflow": None}
