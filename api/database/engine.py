"""The engine, its pool, and how each connection is set up on each database."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from psycopg.pq import TransactionStatus
from sqlalchemy import URL, Connection, Dialect, NullPool, Pool, PoolResetState, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from api.settings import PoolMode, Settings

logger = logging.getLogger(__name__)

LOCK_TIMEOUT = 3
"""Seconds that a statement waits for a row that another transaction holds; then it is a 503. Three waits fit into the
deadline of a request."""

STATEMENT_TIMEOUT = 10
"""Seconds that PostgreSQL lets one statement run: as long as a client may have to wait for an answer."""

CONNECT_TIMEOUT = 5
"""Seconds; a busy process is slow to notice that it is connected."""

IDLE_TIMEOUT = 15
"""Seconds after which PostgreSQL ends a transaction that a dead client left open: longer than any request lasts."""

LONGEST_LIST = 16_777_216
"""Bytes of a list within a row's JSON on MySQL, whose default is 1,024; a list beyond it would be null. An order has a
hundred lines at most, which take 7,000,000 with the longest texts of their products."""

IS_WRITING = "shop_writes"
"""The execution option of connections whose transactions write."""

BEGIN = {
    "sqlite": "BEGIN IMMEDIATE",  # a deferred BEGIN fails at once at its first write where another one writes
    "postgresql": "BEGIN ISOLATION LEVEL READ COMMITTED",
    "mysql": "START TRANSACTION",
}
"""How a write begins. The drivers' own transaction control is off, so that a read begins nothing at all."""

POSTGRESQL_OPTIONS = {
    "lock_timeout": f"{LOCK_TIMEOUT}s",
    "statement_timeout": f"{STATEMENT_TIMEOUT}s",
    "idle_in_transaction_session_timeout": f"{IDLE_TIMEOUT}s",
}


SET_LOCAL_TIMEOUTS = "SELECT " + ", ".join(
    f"set_config('{name}', '{value}', true)" for name, value in POSTGRESQL_OPTIONS.items()
)
"""Sets for one transaction what `_connect_args` sets for a connection that is the shop's alone."""

IN_TRANSACTION: dict[str, Callable[[Any], bool]] = {
    "sqlite": lambda driver: bool(driver.in_transaction),
    "postgresql": lambda driver: driver.pgconn.transaction_status != TransactionStatus.IDLE,
    "mysql": lambda driver: bool(driver.get_transaction_status()),
}

DEFAULT_POOL_SIZE = 8
"""Connections of one process: two workers, a release and a console stay below the 20 of the smallest hosted databases.

They are opened when they are needed and kept from then on. More that would be opened for a burst and closed after it
would be opened and closed all the time.
"""


def pool_size(settings: Settings) -> int | None:
    """How many connections are kept; `None` if none are."""
    return None if settings.database_pool is PoolMode.NONE else settings.database_pool_size or DEFAULT_POOL_SIZE


def create_engine(settings: Settings) -> AsyncEngine:
    """An engine that is set up for its database; nothing is connected yet."""
    url = settings.database
    backend = url.get_backend_name()
    options: dict[str, Any] = {
        "echo": settings.database_echo,
        "hide_parameters": settings.is_production,
        "connect_args": _connect_args(url, settings.database_pool),
    }
    size = pool_size(settings)
    if size is None:
        options["poolclass"] = NullPool
    else:
        options |= {
            "pool_reset_on_return": None,  # see `_undo_what_is_open`
            "pool_size": size,
            "max_overflow": 0,
            "pool_timeout": settings.database_pool_timeout,
            "pool_recycle": settings.database_pool_recycle,
        }
    engine = create_async_engine(url, **options)
    if backend in _ON_CONNECT:
        event.listen(engine.sync_engine, "connect", _ON_CONNECT[backend])
    event.listen(engine.sync_engine, "begin", partial(_begin, begin_statements(settings)))
    event.listen(engine.sync_engine, "reset", partial(_undo_what_is_open, engine.dialect))
    _log_pool_events(engine.sync_engine.pool)
    return engine


def _connect_args(url: URL, pool: PoolMode) -> dict[str, Any]:
    match url.get_backend_name():
        case "sqlite":
            return {"isolation_level": None, "timeout": LOCK_TIMEOUT}
        case "mysql":
            return {"autocommit": True, "connect_timeout": CONNECT_TIMEOUT, "charset": "utf8mb4"}
        case _ if pool is PoolMode.NONE:  # PgBouncer takes neither start-up options nor named statements
            return {"autocommit": True, "connect_timeout": CONNECT_TIMEOUT, "prepare_threshold": None}
        case _:
            ours = [f"-c {name}={value}" for name, value in POSTGRESQL_OPTIONS.items()]
            options = " ".join([*url.normalized_query.get("options", ()), *ours])  # a URL may have some of its own
            return {
                "autocommit": True,
                "connect_timeout": CONNECT_TIMEOUT,
                "options": options,
                # At its first run. Later, and in a pipeline behind a statement that fails, the server would skip it,
                # and psycopg take the statement for prepared from then on.
                "prepare_threshold": 0,
            }


def begin_statements(settings: Settings) -> list[str]:
    """How a write begins with these settings."""
    backend = settings.database.get_backend_name()
    behind_pgbouncer = backend == "postgresql" and pool_size(settings) is None
    return [BEGIN[backend], *([SET_LOCAL_TIMEOUTS] if behind_pgbouncer else [])]


def is_in_transaction(dialect: Dialect, driver: Any) -> bool:
    """Whether a driver's connection is within a transaction; none of the drivers asks the server for it."""
    return IN_TRANSACTION[dialect.name](driver)


def _begin(statements: Sequence[str], connection: Connection) -> None:
    if connection.get_execution_options().get(IS_WRITING):
        for statement in statements:
            connection.exec_driver_sql(statement)


def _undo_what_is_open(dialect: Dialect, connection: Any, record: Any, state: PoolResetState) -> None:
    """Roll back a transaction that was left open, when a connection is given back; a read has none to ask about."""
    if not state.terminate_only and is_in_transaction(dialect, connection.driver_connection):
        dialect.do_rollback(connection)


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


def _prepare_mysql(connection: Any, record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
    cursor.execute(
        f"SET SESSION innodb_lock_wait_timeout = {LOCK_TIMEOUT}, "
        f"group_concat_max_len = {LONGEST_LIST}, "
        "time_zone = '+00:00', "
        "sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'"
    )
    cursor.close()


_ON_CONNECT: dict[str, Callable[[Any, Any], None]] = {"sqlite": _prepare_sqlite, "mysql": _prepare_mysql}
"""PostgreSQL is not here: its options go into the start-up packet, which costs no round trip."""


def _log_pool_events(pool: Pool) -> None:
    """Log at debug level what the pool does."""
    for name in ("connect", "checkout", "checkin", "invalidate", "close"):
        event.listen(pool, name, partial(_log_pool_event, pool, name))


def _log_pool_event(pool: Pool, name: str, *_: object) -> None:
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug("pool: %s, %s", name, pool.status())
