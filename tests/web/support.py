"""What the tests of transactions share: small apps of their own, statements on the stock, and broken connections."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI
from httpx import ASGITransport, AsyncClient
from sqlalchemy import make_url
from sqlmodel import SQLModel, col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.types import ASGIApp

from api.auth.callers import caller_id
from api.auth.passwords import hash_slowly
from api.database.sessions import Database
from api.models.product import Product
from api.settings import Settings
from api.web.error_handlers import install_error_handlers
from api.web.routing import Router
from tests.apps import running
from tests.databases import Backend, ask

DEADLOCK = {
    "postgresql": "DO $$ BEGIN RAISE EXCEPTION 'deadlock' USING ERRCODE = '40P01'; END $$",
    "mariadb": "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213",
}
"""A statement that fails like the victim of a deadlock."""

SERIALIZATION_FAILURE = {
    "postgresql": "DO $$ BEGIN RAISE EXCEPTION 'serialization' USING ERRCODE = '40001'; END $$",
    "mariadb": "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1020",
}
"""A statement that fails like a transaction whose snapshot is outdated."""

SETTLED_WITHIN = 30
"""Seconds in which a process ends what it does beside its first requests: a few statements."""


def new_router() -> Router:
    """A router for the routes of one test."""
    return Router("", tag="tests")


@asynccontextmanager
async def app_with(
    database: Database,
    router: APIRouter,
    *,
    around: Callable[[ASGIApp], ASGIApp] = lambda app: app,
    included: bool = False,
) -> AsyncIterator[AsyncClient]:
    """A client of an app that has only these routes; `around` may put something between the two.

    The app takes the routes as `api/main.py` does, or includes the router, as FastAPI's documentation has it.
    """
    app = FastAPI()
    app.state.database = database
    app.state.identify = caller_id
    app.state.hash_slowly = hash_slowly
    install_error_handlers(app)
    if included:
        app.include_router(router)
    else:
        app.router.routes.extend(router.routes)
    async with AsyncClient(transport=ASGITransport(around(app)), base_url="http://test.example") as client:
        yield client


@asynccontextmanager
async def second_process(settings: Settings, **changes: Any) -> AsyncIterator[tuple[Database, AsyncClient]]:
    """The shop on the same database, with a pool and write slots of its own, as another process would have them."""
    async with (
        running(settings, **changes) as app,
        AsyncClient(transport=ASGITransport(app), base_url="http://test.example") as client,
    ):
        yield app.state.database, client


@asynccontextmanager
async def settled_process(settings: Settings, **changes: Any) -> AsyncIterator[tuple[Database, AsyncClient]]:
    """A second process that has ended what it does beside its first requests, which takes connections as they do."""
    async with (
        running(settings, **changes) as app,
        AsyncClient(transport=ASGITransport(app), base_url="http://test.example") as client,
    ):
        await asyncio.wait(app.state.started, timeout=SETTLED_WITHIN)
        yield app.state.database, client


@asynccontextmanager
async def open_transaction(
    database: Database, *, row: SQLModel | None = None, statement: Any = None
) -> AsyncIterator[AsyncSession]:
    """A transaction that added a row or ran a statement, and holds its locks. At the end it is rolled back."""
    async with database.writes() as other:
        await other.begin()
        if row is not None:
            other.add(row)
            await other.flush()
        if statement is not None:
            await other.exec(statement)
        yield other
        await other.rollback()


async def stocks(session: AsyncSession) -> list[int]:
    """The stock of each product, in the order of their ids."""
    return list((await session.exec(select(col(Product.stock_quantity)).order_by(col(Product.id)))).all())


async def add_one(session: AsyncSession, product_id: int) -> None:
    """Add one unit to a product's stock, which locks its row."""
    more = col(Product.stock_quantity) + 1
    await session.exec(update(Product).where(col(Product.id) == product_id).values(stock_quantity=more))


async def run(session: AsyncSession, statement: str) -> Any:
    """Run one statement of SQL as it is written."""
    return await (await session.connection()).exec_driver_sql(statement)


def connections_in_use(database: Database) -> int:
    """How many connections are checked out of the pool."""
    assert database.pool is not None, "the database keeps no pool"
    return database.pool.checkedout()


def connection_id(dbapi_connection: Any) -> int:
    """The number by which the server knows a connection."""
    driver = dbapi_connection.driver_connection
    return int(driver.info.backend_pid if hasattr(driver, "info") else driver.thread_id())


def kill(settings: Settings, backend: Backend, connection: int) -> None:
    """Have the server break a connection, and wait until it is broken."""
    server = make_url(settings.database_url)
    if backend.name == "postgresql":
        assert ask(server, f"SELECT pg_terminate_backend({connection}, 5000)"), f"{connection} is still connected"
    else:
        ask(server, f"KILL {connection}")
