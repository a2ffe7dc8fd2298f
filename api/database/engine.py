"""The engine and its pool, and how a transaction begins and ends on each database."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, Dialect, ExceptionContext, Pool, PoolResetState, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.sql.compiler import InsertmanyvaluesSentinelOpts

from api.database import mysql_plans  # noqa: F401 - by which rows are found
from api.database.errors import ends_session
from api.database.pools import Patient, PatientNullPool, PatientQueuePool
from api.database.session_settings import SET_LOCAL_TIMEOUTS, connect_args, prepare_connections
from api.settings import PoolMode, Settings

logger = logging.getLogger(__name__)

IS_WRITING = "shop_writes"
"""The execution option of connections whose transactions write."""

BEGIN = {
    "sqlite": "BEGIN IMMEDIATE",  # a deferred BEGIN fails at once at its first write where another one writes
    "postgresql": "BEGIN ISOLATION LEVEL READ COMMITTED",
    "mysql": "START TRANSACTION",
}
"""How a write begins. The drivers' own transaction control is off, so that a read begins nothing at all."""

IN_TRANSACTION: dict[str, Callable[[Any], bool]] = {
    "sqlite": lambda driver: bool(driver.in_transaction),
    "postgresql": lambda driver: driver.pgconn.transaction_status != TransactionStatus.IDLE,
    "mysql": lambda driver: bool(driver.get_transaction_status()),
}

IDS_RISE = InsertmanyvaluesSentinelOpts.ANY_AUTOINCREMENT
"""SQLite's AUTOINCREMENT gives rising ids to the rows of one INSERT, in the order in which they stand there.

SQLAlchemy does not rely on it, and would insert the rows of a session one by one.
"""

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
    options: dict[str, Any] = {
        "echo": settings.database_echo,
        "hide_parameters": settings.is_production,
        "connect_args": connect_args(settings),
    }
    size = pool_size(settings)
    if size is None:
        options["poolclass"] = PatientNullPool
    else:
        options |= {
            "poolclass": PatientQueuePool,
            "pool_reset_on_return": None,  # see `_undo_what_is_open`
            "pool_size": size,
            "max_overflow": 0,
            "pool_timeout": settings.database_pool_timeout,
            "pool_recycle": settings.database_pool_recycle,
        }
    engine = create_async_engine(settings.database, **options)
    if isinstance(engine.pool, Patient):
        engine.pool.patience = settings.database_pool_timeout
    if engine.dialect.name == "sqlite":
        engine.dialect.insertmanyvalues_implicit_sentinel = IDS_RISE
    prepare_connections(engine, settings)
    event.listen(engine.sync_engine, "handle_error", _replace_session)
    event.listen(engine.sync_engine, "begin", partial(_begin, begin_statements(settings)))
    event.listen(engine.sync_engine, "reset", partial(_undo_what_is_open, engine.dialect))
    _log_pool_events(engine.sync_engine.pool)
    return engine


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


def _replace_session(context: ExceptionContext) -> None:
    """Throw a session away that is of no use although its connection is alive; `drivers.py` does so for its own."""
    if ends_session(context.original_exception):
        context.is_disconnect = True


def _log_pool_events(pool: Pool) -> None:
    """Log what the pool does, where the level is debug now: to be told of each event costs a read a hundredth."""
    if not logger.isEnabledFor(logging.DEBUG):
        return
    for name in ("connect", "checkout", "checkin", "invalidate", "close"):
        event.listen(pool, name, partial(_log_pool_event, pool, name))


def _log_pool_event(pool: Pool, name: str, *_: object) -> None:
    logger.debug("pool: %s, %s", name, pool.status())
