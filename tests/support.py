"""Helpers of all tests: a session that reads afresh, a count of statements, and a check of every response."""

import asyncio
import os
import re
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from itertools import count, islice
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import SQLModel, text
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.web.problems import PROBLEM_JSON

ROOT = Path(__file__).parent.parent
"""The folder of the project."""

PASSWORD = "SecurePass123"
PASSWORD_HASH = "$argon2id$v=19$m=16,t=1,p=1$nARrmRr46mJOb9h5/gUBhg$6WxCFThiGiZz8R7hd6I4ekabkRsNd1BWL6L/Ggm2AEE"
"""The hash of `PASSWORD`, made by `FAST_HASHER`."""

FAST_HASHER = PasswordHash([Argon2Hasher(time_cost=1, memory_cost=16, parallelism=1)])
"""Argon2id with lower costs than the shop's, which would take a tenth of the time of all tests."""


FIRST_PORT, WORKERS, PORTS_OF_A_WORKER = 20_000, 12, 1_000
"""Below the 32,768 from which on a system gives out ports: one of those may be gone before it is listened on."""

_port_numbers = count(os.getpid())
"""Which port is tried next. Another run of the tests on this computer begins elsewhere, and so takes others."""

LOCK_WAITS = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'",
    "mysql": "SELECT count(*) FROM information_schema.innodb_trx JOIN information_schema.processlist"
    " ON id = trx_mysql_thread_id WHERE trx_state = 'LOCK WAIT' AND db = DATABASE()",
}

LOCK_WAITS_PAUSE = 0.2
"""Seconds: MariaDB answers what it answered before to whoever asks again within 0.1 seconds."""


class FreshSession(AsyncSession):
    """A session in autocommit whose reads replace what it read before, because the app changes the rows meanwhile."""

    def __init__(self, engine: AsyncEngine) -> None:
        fresh = {"populate_existing": True}
        super().__init__(engine, autoflush=False, expire_on_commit=False, execution_options=fresh)

    async def get(self, *args: Any, **options: Any) -> Any:
        return await super().get(*args, **{"populate_existing": True, **options})


def said(refused: httpx.Response) -> dict[str, Any]:
    """What a refusal says, without the id of its request."""
    problem: dict[str, Any] = refused.json()
    assert problem.pop("request_id")
    return problem


def free_port() -> int:
    """A port of this computer that nobody listens on. No other worker is given it, and no connection gets it."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = FIRST_PORT + worker % WORKERS * PORTS_OF_A_WORKER
    for number in islice(_port_numbers, PORTS_OF_A_WORKER):
        port = first + number % PORTS_OF_A_WORKER
        with suppress(OSError), socket.create_server(("", port)):
            return port
    raise AssertionError(f"all ports from {first} on are in use")


def longest_backoff(failures: int, *, first: float, longest: float) -> float:
    """In the place of `backoff`: the longest of its waits. After a short one, what failed is due again at once."""
    return min(longest, first * 2.0 ** (failures - 1))


async def until_waiting(session: AsyncSession, how_many: int = 1) -> None:
    """Wait until so many transactions of the database wait for a lock. SQLite tells nobody of it."""
    statement = LOCK_WAITS[session.get_bind().dialect.name]
    async with asyncio.timeout(20):
        while (await session.scalar(text(statement))) < how_many:  # noqa: ASYNC110 - a server tells nobody
            await asyncio.sleep(LOCK_WAITS_PAUSE)


async def save(session: AsyncSession, *rows: SQLModel) -> None:
    """Write rows past the app."""
    session.add_all(rows)
    await session.flush()


async def ping(database: Database) -> None:
    """Run a statement on a read session."""
    async with database.reads() as session:
        await session.scalar(text("SELECT 1"))


def assert_refused(response: httpx.Response, status: int, detail: str = "") -> None:
    """Check a refusal: its status, and a part of what it says."""
    assert response.status_code == status, f"the answer is {response.status_code}, not {status}: {response.text}"
    assert detail in response.json()["detail"], f"the refusal says {response.json()['detail']!r}, not {detail!r}"


@contextmanager
def told_of_statements(database: Database, tell: Callable[[str, Sequence[Any]], None]) -> Iterator[None]:
    """Have every statement that the app sends told, with its values: those of sessions and those past them."""

    def tell_of_cursor(connection: Any, cursor: Any, sql: str, values: Sequence[Any], *rest: Any) -> None:
        tell(sql, values)

    event.listen(database.engine.sync_engine, "before_cursor_execute", tell_of_cursor)
    database.listeners.append(tell)
    try:
        yield
    finally:
        database.listeners.remove(tell)
        event.remove(database.engine.sync_engine, "before_cursor_execute", tell_of_cursor)


@contextmanager
def count_statements(database: Database) -> Iterator[list[str]]:
    """Collect the statements that the app sends in the block; the output of a failing test shows them.

    with count_statements(database) as statements:
        await client.get("/categories")
    assert len(statements) == 2
    """
    statements: list[str] = []

    def note(statement: str, values: Sequence[Any]) -> None:
        if not statement.startswith(("BEGIN", "START TRANSACTION", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")):
            statements.append(statement)

    try:
        with told_of_statements(database, note):
            yield statements
    finally:
        print(f"{len(statements)} statements:", *statements, sep="\n\n")


@dataclass(frozen=True)
class Answer:
    """What a failure says of a request; it is put into words only then."""

    request: httpx.Request
    response: httpx.Response

    def __str__(self) -> str:
        path = self.request.url.raw_path.decode()
        return f"{self.request.method} {path} answered {self.response.status_code}: {self.response.text}"


class Contract:
    """The answers that the OpenAPI document declares for each route."""

    def __init__(self, openapi: dict[str, Any]) -> None:
        self.paths = openapi["paths"]
        self.templates = [
            (re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)), operations)
            for path, operations in openapi["paths"].items()
        ]
        self.components = openapi["components"]
        self.validators: dict[int, jsonschema_rs.Validator] = {}

    def check(self, request: httpx.Request, response: httpx.Response) -> None:
        """Fail where a response is not declared, or where a refusal is no problem+json."""
        answer = Answer(request, response)
        assert response.status_code != HTTPStatus.INTERNAL_SERVER_ERROR, answer
        media_type = response.headers.get("content-type", "").partition(";")[0]
        if response.is_error and request.method != "HEAD":  # whose answers are headers alone
            assert media_type == PROBLEM_JSON, answer
            problem = response.json()
            assert {"type", "title", "status", "detail"} <= problem.keys(), answer
            assert problem["status"] == response.status_code, answer
            assert ("errors" in problem) == (response.status_code == HTTPStatus.UNPROCESSABLE_ENTITY), answer
        declared = self._declared(request)
        if declared is None:
            assert response.status_code in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}, answer
            return
        assert str(response.status_code) in declared, f"{answer}\nnot declared, only {sorted(declared)}"
        content = declared[str(response.status_code)].get("content", {})
        assert not response.content or media_type in content, f"{answer}\n{media_type} is not declared"
        if response.content and media_type.endswith("json"):
            validator, body = self._validator(content[media_type]["schema"]), response.json()
            assert validator.is_valid(body), f"{answer}\n{[error.message for error in validator.iter_errors(body)]}"

    def _validator(self, schema: dict[str, Any]) -> jsonschema_rs.Validator:
        """The validator of a schema of the document, made once."""
        if id(schema) not in self.validators:
            whole = {**schema, "components": self.components}
            self.validators[id(schema)] = jsonschema_rs.validator_for(whole)
        return self.validators[id(schema)]

    def _declared(self, request: httpx.Request) -> dict[str, Any] | None:
        """The responses of the route with this very path, or of the first route whose template fits it."""
        path = request.url.raw_path.decode().partition("?")[0].rstrip("/") or "/"
        method = "get" if request.method == "HEAD" else request.method.lower()
        fitting = [(re.compile(re.escape(path)), self.paths[path])] if path in self.paths else self.templates
        for pattern, operations in fitting:
            operation = operations.get(method)
            if operation and pattern.fullmatch(path):
                responses: dict[str, Any] = operation["responses"]
                return responses
        return None


def hanging_up(app: Any) -> Any:
    """The app, whose stream of events a client leaves after the first part: it has no end."""

    async def call(scope: Any, receive: Any, send: Any) -> None:
        if not str(scope["path"]).startswith("/events/stream"):
            await app(scope, receive, send)
            return
        first = asyncio.Event()
        complete = False

        async def hang_up() -> Any:
            await first.wait()
            return {"type": "http.disconnect"}

        async def note(message: Any) -> None:
            nonlocal complete
            await send(message)
            if message["type"] == "http.response.body":
                complete = not message.get("more_body", False)
                first.set()

        await app(scope, hang_up, note)
        if not complete:
            await send({"type": "http.response.body"})

    return call


class CheckedTransport(httpx.ASGITransport):
    """Calls the app without a network, and checks each response against the contract."""

    def __init__(self, app: Any, contract: Contract) -> None:
        super().__init__(hanging_up(app))
        self.contract = contract

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        await response.aread()
        self.contract.check(request, response)
        return response
