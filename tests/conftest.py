"""The app on each database, and clients of it.

A test goes through a client (`client`, `as_customer`, `as_staff`, ...) and then looks into the database (`session`).
It finds a migrated database with nothing in it but what the migrations put there, and the users that it asks for.
"""

import os
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import pytest
from alembic import command
from alembic.config import Config
from fastapi import FastAPI
from httpx import AsyncClient
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth.tokens import new_token
from api.database.sessions import Database
from api.main import create_app
from api.models.base import utcnow
from api.models.token import TokenKind
from api.models.user import User
from api.settings import Settings
from tests.databases import BACKENDS, Backend, Unavailable
from tests.support import PASSWORD_HASH, CheckedTransport, Contract, FreshSession, Seed, save

ROOT = Path(__file__).parent.parent
TESTED = pytest.StashKey[dict[str, str]]()


class Connect(Protocol):
    """Makes a client: signed in as a user, or anonymous."""

    async def __call__(self, user: User | None = None) -> AsyncClient: ...


def pytest_configure(config: pytest.Config) -> None:
    config.stash[TESTED] = {}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for name, outcome in config.stash[TESTED].items():
        terminalreporter.line(f"{name}: {outcome}")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Each database in turn. One that cannot be had is skipped, but not in CI."""
    tested = request.config.stash[TESTED]
    try:
        with BACKENDS[request.param]() as opened:
            tested[opened.name] = f"tested on {opened.version}"
            yield opened
    except Unavailable as reason:
        tested[request.param] = f"NOT TESTED ({reason})"
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up(f"{request.param} is not available: {reason}")


@pytest.fixture(scope="session")
def settings(backend: Backend) -> Iterator[Settings]:
    """Of the app, with a migrated database."""
    with backend.new_database() as url:
        settings = Settings(_env_file=None, database_url=url)
        config = Config(ROOT / "alembic.ini")
        config.attributes["settings"] = settings
        with ThreadPoolExecutor(1) as thread:  # the migrations run an event loop of their own
            thread.submit(command.upgrade, config, "head").result()
        yield settings


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
    """The app's, as the migrations left it."""
    database: Database = app.state.database
    await seed.restore(database)
    return database


@pytest.fixture
async def session(database: Database) -> AsyncIterator[AsyncSession]:
    """For looking in, and for putting rows there: each statement stands at once, and each read is a fresh one."""
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


async def _user(session: AsyncSession, username: str, *, is_superuser: bool = False) -> User:
    user = User(
        username=username,
        email=f"{username}@example.com",
        hashed_password=PASSWORD_HASH,
        is_superuser=is_superuser,
    )
    await save(session, user)
    return user


@pytest.fixture
async def staff(session: AsyncSession) -> User:
    return await _user(session, "staff", is_superuser=True)


@pytest.fixture
async def customer(session: AsyncSession) -> User:
    return await _user(session, "customer")


@pytest.fixture
async def other_customer(session: AsyncSession) -> User:
    return await _user(session, "other_customer")


@pytest.fixture
async def client(connect: Connect) -> AsyncClient:
    """Nobody in particular."""
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
