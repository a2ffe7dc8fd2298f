"""What each session of a database is set to, whatever its server, role or database would bring along.

The migrations set theirs likewise: `migrations/env.py`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NoReturn

from sqlalchemy import URL, event
from sqlalchemy.ext.asyncio import AsyncEngine

from api.database.driver_internals import (
    abandon,
    close_at_once,
    is_encrypted,
    let_reads_tell_of_the_end,
    set_socket_options,
)
from api.database_url import requires_tls, tls_context
from api.errors import Unavailable
from api.settings import PoolMode, Settings

LOCK_TIMEOUT = 3
"""Seconds that a statement waits for a row that another transaction holds; then it is a 503. Three waits fit into the
deadline of a request."""

STATEMENT_TIMEOUT = 10
"""Seconds that PostgreSQL lets one statement run: as long as a client may have to wait for an answer."""

CONNECT_TIMEOUT = 5
"""Seconds; a busy process is slow to notice that it is connected."""

IDLE_TIMEOUT = 15
"""Seconds after which PostgreSQL and MariaDB end a transaction that a dead client left open: longer than any request
lasts."""

UNACKNOWLEDGED = 5
"""Seconds after which a connection is dead whose packets nobody acknowledges, as behind a firewall that forgot it."""

KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_COUNT = 30, 10, 3
"""After how many seconds an idle connection is probed, how often and how many times: a minute, and a dead one is found,
or a firewall has not forgotten a living one."""

LONGEST_LIST = 16_777_216
"""Bytes of a list within a row's JSON on MySQL, whose default is 1,024; a list beyond it would be null. An order has a
hundred lines at most, which take 7,000,000 with the longest texts of their products."""

POSTGRESQL_TIMEOUTS = {
    "lock_timeout": f"{LOCK_TIMEOUT}s",
    "statement_timeout": f"{STATEMENT_TIMEOUT}s",
    "idle_in_transaction_session_timeout": f"{IDLE_TIMEOUT}s",
}

POSTGRESQL_FORMATS = {
    "DateStyle": "ISO",
    "TimeZone": "UTC",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
}
"""How values are written and read. A role or a database may have others."""

SET_LOCAL_TIMEOUTS = "SELECT " + ", ".join(
    f"set_config('{name}', '{value}', true)" for name, value in POSTGRESQL_TIMEOUTS.items()
)
"""Sets for one transaction what `connect_args` sets for a connection that is the shop's alone."""

TCP_OPTIONS = {
    "TCP_USER_TIMEOUT": UNACKNOWLEDGED * 1_000,
    "TCP_KEEPIDLE": KEEPALIVE_IDLE,
    "TCP_KEEPINTVL": KEEPALIVE_INTERVAL,
    "TCP_KEEPCNT": KEEPALIVE_COUNT,
}
"""For MariaDB and MySQL what libpq is told for PostgreSQL; a system has not all of them."""

SQLITE_PRAGMAS = (
    "journal_mode = WAL",  # readers and the writer do not wait for each other
    "synchronous = FULL",  # what was committed survives a power cut
    "foreign_keys = ON",
    f"busy_timeout = {LOCK_TIMEOUT * 1_000}",
)

MYSQL_MODES = "STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"

MYSQL_FORMATS = (
    f"SET SESSION sql_mode = '{MYSQL_MODES}', "
    "time_zone = '+00:00', "
    "default_storage_engine = InnoDB, "  # another one may know neither transactions nor foreign keys
    "character_set_client = utf8mb4, "  # a server may ignore what a client asks for when it connects
    "character_set_results = utf8mb4, "
    "collation_connection = utf8mb4_general_ci, "
    "foreign_key_checks = 1, "
    "unique_checks = 1, "
    "sql_safe_updates = 0, "
    "completion_type = NO_CHAIN"
)

MYSQL_SESSION = (
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    f"{MYSQL_FORMATS}, innodb_lock_wait_timeout = {LOCK_TIMEOUT}, group_concat_max_len = {LONGEST_LIST}"
    f" /*M!100300 , idle_transaction_timeout = {IDLE_TIMEOUT} */",  # MySQL has none
)


def connect_args(settings: Settings) -> dict[str, Any]:
    """What the driver is given for each connection of the shop."""
    url = settings.database
    match url.get_backend_name():
        case "sqlite":
            return {"isolation_level": None, "timeout": LOCK_TIMEOUT}
        case "mysql":
            return {"autocommit": True} | _mysql_args(settings, CONNECT_TIMEOUT)
        case _ if settings.database_pool is PoolMode.NONE:
            # PgBouncer takes neither start-up options nor named statements.
            return {"autocommit": True, "prepare_threshold": None} | _postgresql_args(CONNECT_TIMEOUT)
        case _:
            return {
                "autocommit": True,
                "options": _options(url, POSTGRESQL_FORMATS | POSTGRESQL_TIMEOUTS),
                # At its first run. Later, and in a pipeline behind a statement that fails, the server would skip it,
                # and psycopg take the statement for prepared from then on.
                "prepare_threshold": 0,
            } | _postgresql_args(CONNECT_TIMEOUT)


def migration_connect_args(settings: Settings, connect_timeout: int) -> dict[str, Any]:
    """What the driver is given for a connection of the migrations to a server, whose statements take their time."""
    url = settings.database
    if url.get_backend_name() == "mysql":
        return _mysql_args(settings, connect_timeout)
    unlimited = dict.fromkeys(POSTGRESQL_TIMEOUTS, "0")  # a role may have limits for its requests
    options = {"options": _options(url, POSTGRESQL_FORMATS | unlimited)}
    if settings.database_pool is PoolMode.NONE:
        options = {}
    return options | _postgresql_args(connect_timeout)


def _mysql_args(settings: Settings, connect_timeout: int) -> dict[str, Any]:
    context = tls_context(settings.mysql_options)
    return {"connect_timeout": connect_timeout, "charset": "utf8mb4"} | ({"ssl": context} if context else {})


def _postgresql_args(connect_timeout: int) -> dict[str, Any]:
    return {
        "connect_timeout": connect_timeout,
        "client_encoding": "utf8",
        "tcp_user_timeout": UNACKNOWLEDGED * 1_000,
        "keepalives_idle": KEEPALIVE_IDLE,
        "keepalives_interval": KEEPALIVE_INTERVAL,
        "keepalives_count": KEEPALIVE_COUNT,
    }


def _options(url: URL, ours: dict[str, str]) -> str:
    """Start-up options; a URL may have some of its own."""
    written = [f"-c {name}={value}" for name, value in ours.items()]
    return " ".join([*url.normalized_query.get("options", ()), *written])


def prepare_sqlite(connection: Any, record: Any) -> None:
    cursor = connection.cursor()
    for pragma in SQLITE_PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def abandon_sqlite(connection: Any, record: Any, error: BaseException | None) -> None:
    """A server would find its connection closed."""
    abandon(connection.driver_connection)


def prepare_mysql(statements: Sequence[str], connection: Any, record: Any) -> None:
    """Set the modes too, by which SQLAlchemy quotes names: it asks for them at its first connection."""
    let_reads_tell_of_the_end(connection.driver_connection)
    close_at_once(connection.driver_connection)
    set_socket_options(connection.driver_connection, TCP_OPTIONS)
    cursor = connection.cursor()
    for statement in statements:
        cursor.execute(statement)
    cursor.close()


def check_postgresql(connection: Any, record: Any) -> None:
    """Refuse a database with which the shop cannot work. The server has told this with its first answer.

    Its other settings go into the start-up packet, which costs no round trip.

    Raises:
        Unavailable: The database has another encoding or, where the shop cannot set it, another style of dates.
    """
    reported = connection.driver_connection.info.parameter_status
    if (encoding := reported("server_encoding")) != "UTF8":
        _refuse(connection, f"The database has the encoding {encoding}. Use one that was created with ENCODING 'UTF8'.")
    if not (style := reported("DateStyle") or "ISO").startswith("ISO"):
        _refuse(connection, f"The role or database has the DateStyle {style}. Run ALTER ROLE … SET DateStyle = 'ISO'.")


def refuse_plain_text(connection: Any, record: Any) -> None:
    """For MariaDB and MySQL, whose driver goes on without TLS where the server offers none.

    Raises:
        Unavailable: The connection is not encrypted.
    """
    if not is_encrypted(connection.driver_connection):
        _refuse(connection, "The database server offers no TLS, which the ssl_mode of DATABASE_URL demands.")


def _refuse(connection: Any, why: str) -> NoReturn:
    connection.close()  # the pool does not have it yet
    raise Unavailable(why)


def prepare_connections(engine: AsyncEngine, settings: Settings) -> None:
    """Have each new connection of the shop set up, before SQLAlchemy or anybody else uses it."""
    _prepare(engine, settings, MYSQL_SESSION)


def prepare_migration(engine: AsyncEngine, settings: Settings) -> None:
    """The same for a migration on a server, which waits for locks, and between its statements, as long as it has to."""
    _prepare(engine, settings, [MYSQL_FORMATS])


def _prepare(engine: AsyncEngine, settings: Settings, mysql_statements: Sequence[str]) -> None:
    prepare: dict[str, Callable[[Any, Any], None]] = {
        "sqlite": prepare_sqlite,
        "mysql": partial(prepare_mysql, mysql_statements),
        "postgresql": check_postgresql,
    }
    event.listen(engine.sync_engine, "connect", prepare[engine.dialect.name], insert=True)
    if engine.dialect.name == "sqlite":
        event.listen(engine.sync_engine, "invalidate", abandon_sqlite)
    if requires_tls(settings.mysql_options):
        event.listen(engine.sync_engine, "connect", refuse_plain_text, insert=True)
