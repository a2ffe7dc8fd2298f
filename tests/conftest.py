"""The app on each database, and clients of it.

A test goes through a client (`client`, `as_customer`, `as_staff`, ...) and then looks into the database (`session`).
The database is migrated and has only the rows of the migrations, and the users that the test asks for.
"""

import gc
import logging
import os
import sys
from collections.abc import AsyncIterator, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, Protocol

import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth import passwords
from api.auth.tokens import new_token
from api.commands.setup import migrate
from api.database.sessions import Database
from api.main import create_app
from api.models.base import utcnow
from api.models.token import TokenKind
from api.models.user import User
from api.settings import Settings
from tests import selection, turns
from tests.databases import BACKENDS, Backend, Unavailable
from tests.factories import a_user
from tests.seed import Seed
from tests.support import FAST_HASHER, CheckedTransport, Contract, FreshSession, save

sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
"""The tests start the shop some hundred times. Each start would compile all its modules, which takes half a second."""

sys.modules.setdefault("sniffio", None)  # type: ignore[arg-type]
"""The HTTP client tries to import this module at each request, which is slow where the module is absent."""

logging.getLogger("httpx").setLevel(logging.WARNING)
"""The HTTP client of the tests logs what it sends, and the app has all loggers log at `info`."""

MISSING = pytest.StashKey[list[str]]()
"""What a whole run in CI should have tested and did not."""

HASHER_OF_THE_SHOP = passwords._hasher

RUN = pytest.StashKey[str]()
"""The id of a run, which its workers share."""


class Connect(Protocol):
    """Makes a client: signed in as a user, or anonymous."""

    async def __call__(self, user: User | None = None) -> AsyncClient: ...


def pytest_addoption(parser: pytest.Parser) -> None:
    selection.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[selection.OUTCOME] = selection.Outcome()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One worker per core, and one more, because many tests wait; `--maxprocesses` limits them."""
    return 1 + (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    selection.select(config, items)
    if workers := getattr(config, "workerinput", {}).get("workercount"):
        selection.begin_with_the_longest(items, workers)


def pytest_collection_finish() -> None:
    """Have the garbage collector leave alone what lives as long as the run: thousands of tests, and all modules."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    run = getattr(item.config, "workerinput", {}).get("testrunuid")
    if run is None:  # there are no workers
        return (yield)
    with turns.turn(run, alone=item.get_closest_marker("alone") is not None):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    selection.note(item, report)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    outcome = session.config.stash[selection.OUTCOME]
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["shop"] = outcome.as_sent()
    else:
        session.config.stash[MISSING] = selection.judge(session)
        turns.forget(session.config.stash.get(RUN, None))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add up what a worker tested. A worker that crashed sends nothing, and its test fails."""
    node.config.stash[RUN] = node.workerinput["testrunuid"]
    if sent := getattr(node, "workeroutput", {}).get("shop"):
        node.config.stash[selection.OUTCOME].add(sent)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Generator[None, None, None]:
    """Print what was tested as the last lines."""
    yield
    for line in config.stash[selection.OUTCOME].lines():
        terminalreporter.line(line)
    for line in config.stash.get(MISSING, []):
        terminalreporter.line(f"FAILED in CI: {line}", red=True)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def fast_hasher() -> Iterator[None]:
    """Hash and verify passwords at a lower cost than the shop does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_hasher", FAST_HASHER)
        dummy = FAST_HASHER.hash("the password of nobody")
        patch.setattr(passwords, "_dummy_hash", lambda: dummy)
        yield


@pytest.fixture
def costs_of_the_shop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash passwords as the shop does."""
    monkeypatch.setattr(passwords, "_hasher", HASHER_OF_THE_SHOP)


@pytest.fixture(scope="session", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Each database in turn. Where one is not available its tests are skipped, and in CI they fail."""
    tested = request.config.stash[selection.OUTCOME].tested
    try:
        with BACKENDS[request.param]() as opened:
            tested[opened.name] = f"tested on {opened.version}"
            yield opened
    except Unavailable as reason:
        tested[request.param] = f"NOT TESTED ({reason})"
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up(f"{request.param} is not available: {reason}")


@pytest.fixture(scope="session")
def template(backend: Backend) -> Iterator[str]:
    """The URL of a migrated database that nobody uses, for copies: to migrate each anew takes a server seconds."""
    with backend.new_database() as url:
        with ThreadPoolExecutor(1) as thread:  # the migrations run an event loop of their own
            thread.submit(migrate, Settings(_env_file=None, database_url=url)).result()
        yield url


@pytest.fixture
def migrated(backend: Backend, template: str) -> Iterator[str]:
    """The URL of a database with all tables, which is the test's own."""
    with backend.new_database(copied_from=template) as url:
        yield url


@pytest.fixture(scope="session")
def settings(backend: Backend, template: str) -> Iterator[Settings]:
    """The app's settings; their database is migrated."""
    with backend.new_database(copied_from=template) as url:
        yield Settings(_env_file=None, database_url=url)


@pytest.fixture(scope="session")
async def app(settings: Settings, anyio_backend: str) -> AsyncIterator[FastAPI]:
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture(scope="session")
def contract(app: FastAPI) -> Contract:
    return Contract(app.openapi())


@pytest.fixture(scope="session")
async def seed(app: FastAPI, anyio_backend: str) -> Seed:
    return await Seed.of(app.state.database)


@pytest.fixture
async def database(app: FastAPI, seed: Seed) -> Database:
    """The app's database, with the rows of the migrations and no others."""
    database: Database = app.state.database
    await seed.restore(database)
    return database


@pytest.fixture
async def session(database: Database) -> AsyncIterator[AsyncSession]:
    """A session of the test's own, in autocommit; each read shows the rows as they are now."""
    async with FreshSession(database.engine) as session:
        yield session


@pytest.fixture
async def connect(app: FastAPI, contract: Contract, session: AsyncSession) -> AsyncIterator[Connect]:
    async with AsyncExitStack() as stack:

        async def connect(user: User | None = None) -> AsyncClient:
            client = AsyncClient(transport=CheckedTransport(app, contract), base_url="http://test.example")
            if user is not None:
                secret, token = new_token(user, TokenKind.SESSION, "Test", timedelta(days=1))
                token.last_used_at = utcnow()  # so that no request has to note its use
                await save(session, token)
                client.headers["Authorization"] = f"Bearer {secret}"
            return await stack.enter_async_context(client)

        yield connect


@pytest.fixture
async def staff(session: AsyncSession) -> User:
    return await a_user(session, "staff", is_superuser=True)


@pytest.fixture
async def customer(session: AsyncSession) -> User:
    return await a_user(session, "customer")


@pytest.fixture
async def other_customer(session: AsyncSession) -> User:
    return await a_user(session, "other_customer")


@pytest.fixture
async def client(connect: Connect) -> AsyncClient:
    """A client that is not signed in."""
    return await connect()


@pytest.fixture
async def as_staff(connect: Connect, staff: User) -> AsyncClient:
    return await connect(staff)


@pytest.fixture
async def as_customer(connect: Connect, customer: User) -> AsyncClient:
    return await connect(customer)


@pytest.fixture
async def as_other_customer(connect: Connect, other_customer: User) -> AsyncClient:
    return await connect(other_customer)
