"""What an error of a database means to the shop: run the transaction again, refuse it, or ask the client to come back.

Sources: PostgreSQL manual, appendix A; MariaDB error code reference; SQLite result and error codes.
"""

import re
import sqlite3
import ssl
from collections.abc import Sequence
from typing import Any

import psycopg
from sqlalchemy import Column
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm.exc import StaleDataError
from sqlmodel import SQLModel, UniqueConstraint

from api.errors import Conflict, ShopError, Unavailable, Unprocessable
from api.models.base import noun_of_table, with_article

DATABASE_ERRORS = (DBAPIError, PoolTimeout, StaleDataError)
"""What a statement, or the wait for a connection, can raise."""

TRANSIENT = {"40001", "40P01", 1213, 1020, 1305, 1412}
"""Serialisation failures, deadlocks and a table that was altered: the same transaction succeeds when it is run again.

MySQL ends the whole transaction at a deadlock. Within a savepoint only 1305 tells of it, "SAVEPOINT does not exist",
when the savepoint is rolled back; code that went on then would do so without a transaction.
"""

LOCKED = {"55P03", 1205}
"""A row stayed locked for longer than the lock timeout."""

OUTLIVED = {"0A000", "26000", "42P05", "34000", "XX000"}
"""A session that relies on what is no longer so: PostgreSQL's prepared statements do not survive a change of a table's
columns (0A000, XX000) or `DISCARD ALL` (26000). A new session knows what is so now."""

READ_ONLY = {"25006", 1290, 1792, 1836, sqlite3.SQLITE_READONLY}
"""The database takes no changes, as after a failover. A session may stay so although the database no longer is."""

MYSQL_TOO_MANY_CONNECTIONS = {1040, 1203, 1226}
NO_POSTGRESQL_CONNECTION = re.compile(
    "too many (clients|connections)|connection slots are reserved|no more connections|max(imum)? clients", re.I
)
"""No connection is free on the server. psycopg gives no SQLSTATE for an attempt to connect, so its text has to tell;
poolers such as PgBouncer have texts of their own."""

MYSQL_UNAVAILABLE = {1053, 1077, 1158, 1159, 1160, 1161, 1317, 1927, 1969, 3024, 4031} | MYSQL_TOO_MANY_CONNECTIONS
"""Shutting down, killed, broken off, out of time or connections; 2000 to 2999 are the client's own."""

MYSQL_NO_ACCESS = {1044, 1045, 1049}
"""A wrong user, password or database name."""

SQLITE_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
}

MYSQL_CHECK = {3819, 4025}
MYSQL_OUT_OF_RANGE = {1690}
"""A CHECK that fails, and a sum beyond 64 bits: the driver raises both as OperationalErrors."""

NULL = {"23502", 1048, 1364}
"""A column without a value. Requests are checked before, so this is never a client's mistake: the code, or a column of
another release, has to be looked at."""

UNKNOWN_TABLE = {"42P01", "3F000", 1146}

FOREIGN_KEY = {"23503", "23001", 1216, 1217, 1451, 1452}
"""PostgreSQL 18 has a code of its own, 23001, for a refusal by ON DELETE RESTRICT."""


def _code(error: SQLAlchemyError) -> str | int | None:
    return _code_of_driver(getattr(error, "orig", None))


def _code_of_driver(error: BaseException | None) -> str | int | None:
    """PostgreSQL's SQLSTATE, MySQL's error number or SQLite's primary result code."""
    match error:
        case sqlite3.Error() as sqlite_error:
            extended: int | None = getattr(sqlite_error, "sqlite_errorcode", None)
            return None if extended is None else extended & 0xFF
        case None:
            return None
        case driver_error if driver_error.args and isinstance(driver_error.args[0], int):
            return driver_error.args[0]  # before the SQLSTATE, which for most of MySQL's errors is a vague HY000
        case driver_error:
            return getattr(driver_error, "sqlstate", None)


def message_of(error: Exception) -> str:
    """What a driver or the shop says of an error, in one line."""
    cause = getattr(error, "orig", None) or error
    message = str(cause.args[-1] if cause.args else cause).partition("\n")[0]
    if isinstance(cause.__cause__, ssl.SSLError):  # aiomysql only says that it could not connect
        return f"{message}: {cause.__cause__}"
    return message


def is_transient(error: SQLAlchemyError) -> bool:
    """Whether it goes away when the transaction is run again. A row that another one deleted is then not found."""
    return isinstance(error, StaleDataError) or _code(error) in TRANSIENT


def is_broken_connection(error: SQLAlchemyError) -> bool:
    """Whether the connection ended, and nothing else is wrong: on another one the same transaction succeeds.

    A transaction that was being committed ends with another error: see `Database.transaction`.
    """
    return isinstance(error, DBAPIError) and error.connection_invalidated


def ends_session(error: BaseException | None) -> bool:
    """Whether a driver's error means that its session is of no use, although the connection is alive."""
    return _code_of_driver(error) in OUTLIVED | READ_ONLY


def needs_fresh_session(error: SQLAlchemyError) -> bool:
    """Whether the database refused a statement, and may not do so in another session."""
    return ends_session(getattr(error, "orig", None))


def was_refused_before_commit(error: SQLAlchemyError) -> bool:
    """Whether an error that came with the COMMIT is of a statement before it. A pooler says XX000 for itself too."""
    return needs_fresh_session(error) and _code_of_driver(getattr(error, "orig", None)) != "XX000"


def is_out_of_connections(error: BaseException | None) -> bool:
    """Whether a driver could not connect because the server has no connection left."""
    code = _code_of_driver(error)
    if isinstance(error, psycopg.OperationalError):
        return code == "53300" or (code is None and bool(NO_POSTGRESQL_CONNECTION.search(str(error))))
    return code in MYSQL_TOO_MANY_CONNECTIONS


def is_duplicate(error: IntegrityError) -> bool:
    """Whether a unique constraint was violated."""
    return bool(_unique_columns(error))


def is_duplicate_slug(error: SQLAlchemyError) -> bool:
    """Whether the slug is a duplicate. A generated one differs on the next run; a client's own is refused again."""
    return isinstance(error, IntegrityError) and [column.name for column in _unique_columns(error)] == ["slug"]


def is_unknown_table(error: SQLAlchemyError) -> bool:
    return _code(error) in UNKNOWN_TABLE or "no such table" in str(getattr(error, "orig", None))


def is_lock_timeout(error: SQLAlchemyError) -> bool:
    return _code(error) in LOCKED


def refusal_for(error: SQLAlchemyError) -> ShopError | None:
    """The refusal that a database's error means, or `None` where the error is the shop's own mistake."""
    match error:
        case PoolTimeout():
            return Unavailable("All database connections are in use. Try again shortly.")
        case StaleDataError():
            return Unavailable("Other requests are changing the same row. Try again shortly.")
        case DBAPIError() if _code(error) in READ_ONLY:
            return Unavailable("The database takes no changes at present. Try again shortly.", retry_after=5)
        case DBAPIError() if _code(error) in OUTLIVED or _is_null(error):
            return None  # a mistake, since a fresh session did not help
        case DBAPIError() if isinstance(error, IntegrityError) or _code(error) in MYSQL_CHECK:
            return _violation(error)
        case DBAPIError() if isinstance(error, DataError) or _code(error) in MYSQL_OUT_OF_RANGE:
            return Unprocessable("request", "contains a value that the database cannot store")
        case DBAPIError() if is_out_of_connections(error.orig):
            return Unavailable("The database has no connection left. Try again shortly.")
        case DBAPIError() if error.connection_invalidated or _is_unavailable(error):
            return Unavailable("The database is busy or cannot be reached. Try again shortly.")
    return None


def _is_unavailable(error: DBAPIError) -> bool:
    code = _code(error)
    if isinstance(error.orig, sqlite3.Error):
        return code in SQLITE_UNAVAILABLE
    if isinstance(code, str):  # lost connections, shortage of resources, cancelled by a timeout, restarts
        return code in LOCKED | TRANSIENT or code[:2] in {"08", "53", "57", "58"} or code == "25P03"
    if isinstance(code, int):
        return code in LOCKED | TRANSIENT | MYSQL_UNAVAILABLE | MYSQL_NO_ACCESS or 2000 <= code < 3000
    return type(error).__name__ == "OperationalError"  # psycopg has no SQLSTATE where it never got a connection


def _is_null(error: DBAPIError) -> bool:
    extended = getattr(error.orig, "sqlite_errorcode", None)
    return _code(error) in NULL or extended == sqlite3.SQLITE_CONSTRAINT_NOTNULL


def _violation(error: DBAPIError) -> ShopError:
    columns = _unique_columns(error)
    if columns:
        return Conflict(already_exists(noun_of_table(columns[0].table), [column.name for column in columns]))
    if _code(error) in FOREIGN_KEY or "FOREIGN KEY" in str(error.orig):
        return Conflict("The request refers to a row that does not exist, or another row still refers to this one.")
    return Conflict("The request conflicts with existing data.")


def already_exists(noun: str, columns: Sequence[str]) -> str:
    """The sentence that refuses a duplicate."""
    row = with_article(noun)
    return f"{row[0].upper()}{row[1:]} with this {' and '.join(columns)} already exists."


def _unique_columns(error: DBAPIError) -> list[Column[Any]]:
    """The columns of the unique constraint that was violated; none where it was another kind of constraint."""
    diagnostics = getattr(error.orig, "diag", None)
    if diagnostics is not None:
        return _columns_of(diagnostics.constraint_name)
    message = str(error.orig)
    if getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
        return []
    if failed := re.search(r"UNIQUE constraint failed: (.+)", message):
        named = (each.split(".") for each in failed[1].split(", "))
        return [SQLModel.metadata.tables[table].columns[column] for table, column in named]
    if key := re.search(r"Duplicate entry .* for key '(?:\w+\.)?(\w+)'", message, re.DOTALL):
        return _columns_of(key[1])
    return []


def _columns_of(constraint_name: str | None) -> list[Column[Any]]:
    for table in SQLModel.metadata.tables.values():
        for constraint in table.constraints:
            if constraint.name == constraint_name and isinstance(constraint, UniqueConstraint):
                return list(constraint.columns)
    return []
