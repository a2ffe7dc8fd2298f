"""The cause of a retry or of a 503, in one word: a label of the metrics."""

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm.exc import StaleDataError

from api.database.errors import (
    DATABASE_ERRORS,
    is_broken_connection,
    is_duplicate_slug,
    is_lock_timeout,
    is_out_of_connections,
    is_transient,
    is_unknown_table,
    needs_fresh_session,
)
from api.database.write_slots import NoWriteSlot
from api.telemetry.instruments import Cause


def cause_of(error: BaseException | None) -> Cause:
    """What a request was run again for, or refused with 503: the error that the refusal was raised from."""
    match error:
        case NoWriteSlot():
            return Cause.WRITE_SLOTS
        case PoolTimeout():
            return Cause.POOL
        case StaleDataError():
            return Cause.CHANGED_MEANWHILE
        case TimeoutError():
            return Cause.DEADLINE
        case SQLAlchemyError() if isinstance(error, DATABASE_ERRORS):
            return _of_database(error)
    return Cause.OTHER


def _of_database(error: SQLAlchemyError) -> Cause:
    causes = {
        Cause.LOCK_TIMEOUT: is_lock_timeout(error),
        Cause.DEADLOCK: is_transient(error),
        Cause.CONNECTIONS_OF_SERVER: is_out_of_connections(getattr(error, "orig", None)),
        Cause.SESSION: needs_fresh_session(error),
        Cause.CONNECTION: is_broken_connection(error),
        Cause.SLUG: is_duplicate_slug(error),
        Cause.SCHEMA: is_unknown_table(error),
    }
    return next((cause for cause, is_so in causes.items() if is_so), Cause.DATABASE)
