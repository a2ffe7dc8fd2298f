"""The log: which loggers have which level, one line for each request, and the ids that all lines have."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from sqlalchemy.exc import DBAPIError
from sqlmodel import insert

from api.database.sessions import Database
from api.main import create_app
from api.models.idempotency_key import IdempotencyKey
from api.settings import Environment, LogFormat, Settings
from api.telemetry import context, logs
from api.telemetry.lines import Access, JSONLines, TextLines
from tests.telemetry.support import COMMANDS, Watched, watched

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
LOGGERS = ("api", "alembic.runtime.migration", "uvicorn.error", "")


@pytest.fixture(autouse=True)
def restored_loggers() -> Iterator[None]:
    """The loggers are as before at the end of a test."""
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    handlers = list(logging.getLogger().handlers)
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logging.getLogger().handlers = handlers
    logging.getLogger("alembic.runtime.migration").filters.clear()


def settings(**given: Any) -> Settings:
    return Settings(_env_file=None, **given)


class TestSetUp:
    def test_the_debug_level_is_only_for_the_loggers_of_the_shop(self) -> None:
        """At this level, drivers log the values of statements, and with them the hashes of passwords."""
        logs.set_up(settings(log_level="debug"))
        assert logging.getLogger().level == logging.INFO
        assert logging.getLogger("api").level == logging.DEBUG
        logs.set_up(settings(log_level="error"))
        assert logging.getLogger().level == logging.ERROR

    @pytest.mark.parametrize("level", ["debug", "warning"])
    async def test_the_level_of_the_settings_counts_for_an_app_that_uvicorn_starts(
        self, tmp_path: Path, level: Literal["debug", "warning"]
    ) -> None:
        """The Procfile starts the app with uvicorn, and not with `python -m api`."""
        app = create_app(settings(database_url=f"sqlite:///{tmp_path / 'shop.db'}", log_level=level))
        async with app.router.lifespan_context(app):
            assert logging.getLogger("api").level == logging.getLevelNamesMapping()[level.upper()]

    def test_production_logs_json_and_development_text_unless_told_otherwise(self) -> None:
        production = settings().model_copy(update={"environment": Environment.PRODUCTION})
        assert settings().log_form is LogFormat.TEXT
        assert production.log_form is LogFormat.JSON
        assert settings(log_format="json").log_form is LogFormat.JSON

    def test_a_second_set_up_writes_no_line_twice(self, capsys: pytest.CaptureFixture[str]) -> None:
        for _ in range(2):
            logs.set_up(settings())
        logging.getLogger("uvicorn.error").info("once")
        assert capsys.readouterr().err.count("once") == 1


class TestTraceparent:
    @pytest.mark.parametrize(
        "sent",
        [
            f"00-{TRACE}-00f067aa0ba902b7-01",
            f"01-{TRACE}-00f067aa0ba902b7-00",
            f"01-{TRACE}-00f067aa0ba902b7-00-what-comes-later",
        ],
    )
    def test_a_trace_is_taken_from_the_header(self, sent: str) -> None:
        assert context.trace_of(sent.encode()) == TRACE

    @pytest.mark.parametrize(
        "sent",
        [
            "",
            TRACE,
            f"ff-{TRACE}-00f067aa0ba902b7-01",
            f"00-{'0' * 32}-00f067aa0ba902b7-01",
            f"00-{TRACE}-{'0' * 16}-01",
            f"00-{TRACE.upper()}-00f067aa0ba902b7-01",
            f"00-{TRACE}-00f067aa0ba902b7-01-more",
            f"00-{TRACE}-00f067aa0ba902b7-01\n",
        ],
    )
    def test_a_malformed_one_is_ignored(self, sent: str) -> None:
        assert context.trace_of(sent.encode()) is None


SECRETS = "first line\n[SQL: of hers]\nHINT:  her last line"
"""What a person typed, with what stands in messages of databases too."""

MESSAGES = {
    "a row of PostgreSQL": f"null value\nDETAIL:  Failing row contains (7, {SECRETS}).",
    "a key of PostgreSQL": f"duplicate key\nDETAIL:  Key (name)=({SECRETS}) already exists.",
    "SQLAlchemy": f"(psycopg) null value\nDETAIL:  Failing row contains (7, {SECRETS}).\n[SQL: INSERT]\n(Background)",
    "parameters": f"(psycopg) null value\n[SQL: INSERT]\n[parameters: {SECRETS}]\n(Background)",
    "a type of PostgreSQL": f'invalid input syntax for type bigint: "{SECRETS}"',
    "where it was": f"division by zero\nCONTEXT:  PL/pgSQL function of {SECRETS}",
    "a key of MySQL": f"(1062, \"Duplicate entry '{SECRETS}' for key 'users.email'\")",
    "a text of MySQL": f"(1366, \"Incorrect string value: '{SECRETS}' for column 'name' at row 1\")",
}


@pytest.mark.parametrize("lines", [JSONLines(), TextLines()], ids=["json", "text"])
class TestException:
    def written(self, lines: JSONLines | TextLines, error: BaseException) -> str:
        try:
            raise error
        except BaseException as raised:
            about = (type(raised), raised, raised.__traceback__)
            record = logging.LogRecord("api", logging.ERROR, "", 0, "failed", None, about)
        return lines.format(record)

    def test_a_traceback_keeps_no_value_that_a_database_repeats(self, lines: JSONLines | TextLines) -> None:
        said = "duplicate key\nDETAIL:  Key (email)=(a@b.c) already exists.\n[parameters: ('a@b.c',)]"
        other = "(1062, \"Duplicate entry 'a@b.c' for key 'users.email'\")"
        written = self.written(lines, ValueError(f"{other}\n{said}"))
        assert "a@b.c" not in written
        assert "duplicate key" in written

    @pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
    @pytest.mark.parametrize("kind", ["error", "cause", "group"])
    def test_a_value_of_many_lines_is_hidden_as_a_whole(
        self, lines: JSONLines | TextLines, message: str, kind: str
    ) -> None:
        cause: Exception = ValueError(message)
        error = RuntimeError("above it")
        error.__cause__ = cause
        shown = {"error": cause, "cause": error, "group": BaseExceptionGroup("many", [KeyboardInterrupt(), cause])}

        written = self.written(lines, shown[kind])

        assert not [each for each in ("first line", "of hers", "last line") if each in written], written
        assert "ValueError: " in written
        assert "[values hidden]" in written
        assert kind != "cause" or "RuntimeError: above it" in written, "the rest of the traceback is lost"

    def test_the_statement_stays(self, lines: JSONLines | TextLines) -> None:
        """Where values are not to be shown, as in production."""
        cause = ValueError(MESSAGES["a row of PostgreSQL"])
        error = DBAPIError("INSERT INTO users", {}, cause, hide_parameters=True)
        error.__cause__ = cause

        written = self.written(lines, error)

        assert written.count("[values hidden]") == 2
        assert "her last line" not in written
        assert "[SQL: INSERT INTO users]" in written

    async def test_no_database_has_a_value_of_many_lines_logged(
        self, lines: JSONLines | TextLines, database: Database
    ) -> None:
        with pytest.raises(DBAPIError) as raised:
            async with database.writes() as session, session.begin():
                await session.exec(insert(IdempotencyKey).values(body=SECRETS, route=None))

        written = self.written(lines, raised.value)

        assert not [each for each in ("first line", "of hers", "last line") if each in written], written
        assert "[values hidden]" in written


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("command", COMMANDS)
class TestAccess:
    def test_each_request_is_one_line_with_its_ids(
        self, backend: object, migrated: str, tmp_path: Path, command: str
    ) -> None:
        with watched(Watched(migrated, tmp_path, {"LOG_FORMAT": "json"}, COMMANDS[command])) as service:
            ids = {"X-Request-ID": 'quoted"\\', "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
            answer = httpx.get(f"{service.url}/products/7?search=personal", headers=ids)
            httpx.get(f"{service.url}/users/by-email/personal@example.com")
            httpx.head(f"{service.url}/products")
            service.terminate()
            service.process.wait(30)
        product, user, head = [each for each in service.requests() if not each["route"].startswith("/health")]
        expected = {
            "method": "GET",
            "route": "/products/{id}",
            "path": "/products/7",
            "status": answer.status_code,
            "bytes": len(answer.content),
            "client": "127.0.0.0",
            "caller": "nobody",
            "request_id": 'quoted"\\',
            "trace_id": TRACE,
        }
        assert {name: product[name] for name in expected} == expected
        assert product["ms"] > 0
        assert user["path"] == "/users/by-email/{email}"
        assert (head["method"], head["route"], head["bytes"]) == ("HEAD", "/products", 0)
        text = service.log.read_text()
        assert "personal" not in text
        assert "HTTP/1.1" not in text, "uvicorn logs requests too"
        words = ("Sign in as", "Listening on", "The documentation is")
        assert [line for line in text.splitlines() if not line.startswith(("{", *words))] == []
        assert any(each["message"] == "Application shutdown complete." for each in service.lines())

    def test_no_request_is_a_line_where_the_access_log_is_off(
        self, backend: object, migrated: str, tmp_path: Path, command: str
    ) -> None:
        service = Watched(migrated, tmp_path, {"LOG_FORMAT": "json", "ACCESS_LOG": "false"}, COMMANDS[command])
        with watched(service):
            httpx.get(f"{service.url}/products")
        assert service.requests() == []
        assert "/products" not in service.log.read_text()


class TestLines:
    def test_a_line_of_access_is_what_the_json_library_would_write(self) -> None:
        context.request_id.set('a"b\\c')
        access = Access("GET", "/products/{id}", "/products/7", 200, 0.01234, 512, "203.0.113.0", 5, "customer")
        line = json.loads(JSONLines().access(access, 1_800_000_000.5))
        assert line["time"] == "2027-01-15T08:00:00.500Z"
        assert (line["ms"], line["user_id"], line["request_id"]) == (12.3, 5, 'a"b\\c')
        assert (
            TextLines()
            .access(access, 1_800_000_000.5)
            .startswith(
                "2027-01-15T08:00:00.500Z INFO api.access: GET /products/7 200 in 12.3 ms, 512 bytes, to customer 5"
            )
        )
