"""The engine, its pool, the two sessions, and what is particular to each database.

Reads run in autocommit: each statement sees what is committed, and no transaction is opened for them. Writes run in one
transaction that is committed before the answer is sent. Both use the same pool, of which writes leave a part to reads:
however many writes wait for one row, what only reads is answered.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Request
from sqlalchemy import URL, AsyncAdaptedQueuePool, Connection, NullPool, Pool, event, text
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.ext.asyncio import async_sessionmaker as sessionmaker
from sqlalchemy.util import await_only
from sqlmodel import Session
from sqlmodel.ext.asyncio.session import AsyncSession

from api.settings import Pool as PoolSetting
from api.settings import Settings

logger = logging.getLogger(__name__)

LOCK_TIMEOUT = 3
"""Seconds that a statement waits for a row that another transaction holds; then it is a 503."""

STATEMENT_TIMEOUT = 10
CONNECT_TIMEOUT = 5
"""Seconds; a busy process is slow to notice that it is connected."""

WRITERS = 8
"""Writes at once of one process, which cannot keep more busy. Beyond that they wait here, in turn, where it is cheap:
in the database they would wait for each other's rows, and that counts against the lock timeout."""

IDLE_TIMEOUT = 15
"""Seconds after which PostgreSQL ends a transaction that a dead client left open."""

BEGIN = {
    "sqlite": "BEGIN IMMEDIATE",  # a deferred BEGIN fails at its first write, at once, where another one writes
    "postgresql": "BEGIN ISOLATION LEVEL READ COMMITTED",
    "mysql": "START TRANSACTION",
}
"""How a write begins. The drivers' own transaction control is off, so that a read begins nothing at all."""

POSTGRESQL_OPTIONS = {
    "lock_timeout": f"{LOCK_TIMEOUT}s",
    "statement_timeout": f"{STATEMENT_TIMEOUT}s",
    "idle_in_transaction_session_timeout": f"{IDLE_TIMEOUT}s",
}


class _Turn:
    """A write's place among those that run at once. It is taken with the first statement."""

    def __init__(self, writers: asyncio.Semaphore, patience: float) -> None:
        self.writers = writers
        self.patience = patience
        self.is_taken = False

    async def take(self) -> None:
        if self.is_taken:
            return
        try:
            async with asyncio.timeout(self.patience):
                await self.writers.acquire()
        except TimeoutError as error:
            raise PoolTimeout(f"No write has ended for {self.patience} seconds.") from error
        self.is_taken = True

    def give_up(self) -> None:
        if self.is_taken:
            self.writers.release()


class _WritingSession(Session):
    """Takes its turn before it takes a connection, and so not at all where it is never used.

    `get_bind` is where SQLAlchemy lets a session choose its connection. All that an `AsyncSession` awaits may call it;
    `session.get_bind()` by itself may not, because this has to wait.
    """

    def get_bind(self, *args: Any, **options: Any) -> Any:
        if "turn" in self.info:
            await_only(self.info["turn"].take())
        return super().get_bind(*args, **options)


class Database:
    """One engine with its pool, and the two kinds of session that use it."""

    def __init__(self, settings: Settings) -> None:
        self.engine = _create_engine(settings)
        self.reads = sessionmaker(self.engine, class_=AsyncSession, expire_on_commit=False, autoflush=False)
        self.writes = sessionmaker(
            self.engine.execution_options(shop_writes=True),
            class_=AsyncSession,
            sync_session_class=_WritingSession,
            expire_on_commit=False,
        )
        self._writers = asyncio.Semaphore(_writers_at_once(self.engine))
        self._patience = settings.database_pool_timeout

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A session in one transaction, which is committed in the end, and waits its turn among the writes.

        Raises:
            sqlalchemy.exc.TimeoutError: Too many others were before it.
        """
        turn = _Turn(self._writers, self._patience)
        try:
            async with self.writes(info={"turn": turn}) as session, session.begin():
                yield session
        finally:
            turn.give_up()

    def is_busy(self) -> bool:
        """Whether a write would have to wait its turn."""
        return self._writers.locked()

    async def ping(self) -> None:
        """Raise an error where the database does not answer."""
        async with self.reads() as session:
            await session.exec(text("SELECT 1"))  # type: ignore[call-overload]

    async def close(self) -> None:
        await self.engine.dispose()


def _writers_at_once(engine: AsyncEngine) -> int:
    """Some connections are left to reads. SQLite has one writer: a second one would poll for its end, and lose."""
    if engine.dialect.name == "sqlite":
        return 1
    pool = engine.pool
    if not isinstance(pool, AsyncAdaptedQueuePool):
        return WRITERS
    connections = pool.size() + pool._max_overflow
    return max(1, min(WRITERS, connections - max(1, connections // 5)))


def database_of(request: Request) -> Database:
    """The one that the app opened when it started."""
    database: Database = request.app.state.database
    return database


async def read_session(request: Request) -> AsyncIterator[AsyncSession]:
    async with database_of(request).reads() as session:
        yield session


async def write_session(request: Request) -> AsyncIterator[AsyncSession]:
    async with database_of(request).transaction() as session:
        yield session


# `scope="function"` ends the session, and so commits, before the answer is sent. The default would commit after it,
# and a commit that failed would already have been answered with 201.
ReadSession = Annotated[AsyncSession, Depends(read_session, scope="function")]
WriteSession = Annotated[AsyncSession, Depends(write_session, scope="function")]


def _create_engine(settings: Settings) -> AsyncEngine:
    url = settings.database
    backend = url.get_backend_name()
    options: dict[str, Any] = {
        "echo": settings.database_echo,
        "hide_parameters": settings.is_production,
        "connect_args": _connect_args(url, settings.database_pool),
    }
    if settings.database_pool is PoolSetting.NONE:
        options["poolclass"] = NullPool
    else:
        # SQLite writes one at a time, so more connections than a handful only wait; a pool whose overflow is
        # smaller than the concurrency keeps opening and closing connections.
        size, overflow = (5, 15) if backend == "sqlite" else (10, 20)
        options |= {
            "pool_size": settings.database_pool_size or size,
            "max_overflow": overflow if settings.database_max_overflow is None else settings.database_max_overflow,
            "pool_timeout": settings.database_pool_timeout,
            "pool_recycle": settings.database_pool_recycle,
            "pool_pre_ping": settings.database_pool_pre_ping and backend != "sqlite",
        }
    engine = create_async_engine(url, **options)
    if backend in _ON_CONNECT:
        event.listen(engine.sync_engine, "connect", _ON_CONNECT[backend])
    event.listen(engine.sync_engine, "begin", _begin)
    if backend == "postgresql" and settings.database_pool is PoolSetting.NONE:
        event.listen(engine.sync_engine, "begin", _set_local_timeouts)
    _log_pool_events(engine.sync_engine.pool)
    return engine


def _connect_args(url: URL, pool: PoolSetting) -> dict[str, Any]:
    match url.get_backend_name():
        case "sqlite":
            return {"isolation_level": None, "timeout": LOCK_TIMEOUT}
        case "mysql":
            return {"autocommit": True, "connect_timeout": CONNECT_TIMEOUT, "charset": "utf8mb4"}
        case _ if pool is PoolSetting.NONE:  # PgBouncer takes neither start-up options nor named statements
            return {"autocommit": True, "connect_timeout": CONNECT_TIMEOUT, "prepare_threshold": None}
        case _:
            ours = [f"-c {name}={value}" for name, value in POSTGRESQL_OPTIONS.items()]
            options = " ".join([*url.normalized_query.get("options", ()), *ours])  # a URL may have some of its own
            return {"autocommit": True, "connect_timeout": CONNECT_TIMEOUT, "options": options}


def _begin(connection: Connection) -> None:
    if connection.get_execution_options().get("shop_writes"):
        connection.exec_driver_sql(BEGIN[connection.dialect.name])


def _set_local_timeouts(connection: Connection) -> None:
    """Set for one transaction what `_connect_args` sets for a connection that is ours alone."""
    if connection.get_execution_options().get("shop_writes"):
        settings = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in POSTGRESQL_OPTIONS.items())
        connection.exec_driver_sql(f"SELECT {settings}")


def _prepare_sqlite(connection: Any, record: Any) -> None:
    cursor = connection.cursor()
    for pragma in (
        "journal_mode = WAL",  # readers and the writer do not wait for each other
        "synchronous = FULL",  # what was committed survives a power cut
        "foreign_keys = ON",
        f"busy_timeout = {LOCK_TIMEOUT * 1_000}",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
    # SQLite's own lower() knows ASCII only, and a search would tell É from é.
    connection.create_function("lower", 1, lambda value: value.lower() if isinstance(value, str) else value)


def _prepare_mysql(connection: Any, record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
    cursor.execute(
        f"SET SESSION innodb_lock_wait_timeout = {LOCK_TIMEOUT}, "
        "time_zone = '+00:00', "
        "sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'"
    )
    cursor.close()


_ON_CONNECT = {"sqlite": _prepare_sqlite, "mysql": _prepare_mysql}
"""What PostgreSQL needs goes into the start-up packet, which costs no round trip."""


def _log_pool_events(pool: Pool) -> None:
    """At debug level, for whoever wonders what the pool does."""
    for name in ("connect", "checkout", "checkin", "invalidate", "close"):
        event.listen(pool, name, partial(_log_pool_event, pool, name))


def _log_pool_event(pool: Pool, name: str, *_: object) -> None:
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug("pool: %s, %s", name, pool.status())
