"""What a PostgreSQL database brings along: the shop sets it itself, or refuses the database in one line."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from secrets import token_hex

import pytest
from httpx import ASGITransport, AsyncClient
from sqlalchemy import event, make_url

from api.commands.setup import migrate
from api.commands.verify import verify
from api.database.sessions import Database
from api.main import create_app
from api.settings import PoolMode, Settings
from tests.databases import Backend, ask
from tests.day import spend_a_day
from tests.support import ROOT, assert_refused

pytestmark = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)

FORMATS = ("TimeZone = 'Asia/Kolkata'", "IntervalStyle = 'sql_standard'", "bytea_output = 'escape'")
MODES = (
    "standard_conforming_strings = off",
    "transform_null_equals = on",
    "default_transaction_isolation = 'serializable'",
    "client_encoding = 'LATIN1'",
)
SETTINGS = {
    "formats": (PoolMode.QUEUE, (*FORMATS, "DateStyle = 'German, DMY'")),
    "modes": (PoolMode.QUEUE, (*MODES, "search_path = shop, public", "statement_timeout = '1ms'")),
    "formats behind PgBouncer": (PoolMode.NONE, FORMATS),
    "modes behind PgBouncer": (PoolMode.NONE, (*MODES, "search_path = shop, public")),
}


@pytest.fixture
def url(backend: Backend) -> Iterator[str]:
    with backend.new_database() as url:
        yield url


@pytest.fixture(params=["LATIN1", "SQL_ASCII"])
def foreign(backend: Backend, settings: Settings, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database in another encoding."""
    server, name = make_url(settings.database_url), f"test_{token_hex(4)}"
    ask(server, f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{request.param}' LOCALE 'C'")
    yield server.set(database=name).render_as_string(hide_password=False)
    ask(server, f"DROP DATABASE {name} WITH (FORCE)")


class TestSettings:
    @pytest.mark.parametrize(("pool", "brought"), SETTINGS.values(), ids=SETTINGS)
    async def test_the_shop_works_whatever_the_database_is_set_to(
        self, url: str, pool: PoolMode, brought: tuple[str, ...]
    ) -> None:
        server = make_url(url)
        ask(server, "CREATE SCHEMA shop")
        for setting in brought:
            ask(server, f"ALTER DATABASE {server.database} SET {setting}")
        await spend_a_day(Settings(_env_file=None, database_url=url, database_pool=pool))

    async def test_a_style_of_dates_that_cannot_be_set_is_refused(self, url: str) -> None:
        """Behind PgBouncer, which takes no settings at the start of a session."""
        settings = Settings(_env_file=None, database_url=url, database_pool=PoolMode.NONE)
        with ThreadPoolExecutor(1) as thread:
            thread.submit(migrate, settings).result()
        ask(make_url(url), f"ALTER DATABASE {make_url(url).database} SET DateStyle = 'German, DMY'")
        await assert_requests_are_refused(settings, "DateStyle German, DMY. Run ALTER ROLE")

    async def test_no_setting_of_verify_outlives_its_transaction(self, database: Database) -> None:
        """Behind PgBouncer the session is given to somebody else next."""
        sent: list[str] = []
        event.listen(
            database.engine.sync_engine,
            "before_cursor_execute",
            lambda connection, cursor, statement, *_: sent.append(statement),
        )
        assert await verify(database)
        settings = [each for each in sent if each.startswith(("SET", "RESET"))]
        assert settings
        assert {each.partition(" ")[2].partition(" ")[0] for each in settings} == {"LOCAL"}


class TestEncoding:
    @pytest.mark.parametrize(
        "start",
        [["api"], ["api", "verify"], ["alembic", "-c", str(ROOT / "alembic.ini"), "upgrade", "head"]],
        ids=["python -m api", "a command", "the release of the Procfile"],
    )
    def test_another_encoding_is_refused_in_one_line(
        self, foreign: str, start: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DATABASE_URL", foreign)
        monkeypatch.setenv("PORT", "0")
        ended = subprocess.run([sys.executable, "-m", *start], cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert ended.returncode != 0
        assert "The database has the encoding" in ended.stderr
        assert "Traceback" not in ended.stderr
        assert len(set(ended.stderr.removeprefix("FAILED: ").splitlines())) <= 2, ended.stderr

    async def test_requests_are_refused_with_a_reason(self, foreign: str) -> None:
        await assert_requests_are_refused(Settings(_env_file=None, database_url=foreign), "has the encoding")


async def assert_requests_are_refused(settings: Settings, reason: str) -> None:
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=ASGITransport(app), base_url="http://test.example") as client,
    ):
        for _ in range(12):  # none of them keeps a connection
            assert_refused(await client.get("/products"), 503, reason)
        assert_refused(await client.get("/health/ready"), 503, reason)
        sign_in = await client.post("/auth/token", data={"username": "a", "password": "b"})
        assert_refused(sign_in, 503, reason)
        assert (await client.get("/health")).status_code == 200
