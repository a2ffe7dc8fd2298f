"""Longer timeouts, for tests that send more requests at once than the app can answer in its ordinary time."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import time
from typing import Any

import pytest
from sqlalchemy import Dialect, event

from api.database.sessions import Database
from api.web import transactions

LONG_TIMEOUT = 60
"""Seconds. Of hundreds of simultaneous requests the last one waits for all others, in the one event loop of a test."""


LONG_LOCK_TIMEOUTS = {
    "postgresql": f"SELECT set_config(name, '{LONG_TIMEOUT}s', false)"
    " FROM unnest(ARRAY['lock_timeout', 'statement_timeout']) AS name",
    "mysql": f"SET SESSION innodb_lock_wait_timeout = {LONG_TIMEOUT}",
}
"""For each connection. SQLite needs none: its one writer waits for a write slot, and not for a lock."""


@contextmanager
def long_timeouts(database: Database) -> Iterator[None]:
    """Let each request wait `LONG_TIMEOUT` for its connection, its write slot, its locks and its answer.

    A deadlock is still found, and one of its transactions ended. Both ends of the block replace the connections.
    The tests in tests/web/ show what happens to a request that exceeds the ordinary timeouts.
    """

    def set_connect_timeout(dialect: Dialect, record: Any, arguments: Any, options: dict[str, Any]) -> None:
        if "connect_timeout" in options:
            options["connect_timeout"] = LONG_TIMEOUT

    def set_lock_timeout(connection: Any, record: Any) -> None:
        if statement := LONG_LOCK_TIMEOUTS.get(database.backend):
            cursor = connection.cursor()
            cursor.execute(statement)
            cursor.close()

    event.listen(database.engine.sync_engine, "do_connect", set_connect_timeout)
    event.listen(database.engine.sync_engine, "connect", set_lock_timeout)
    _replace_connections(database)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(transactions, "REQUEST_DEADLINE", LONG_TIMEOUT)
            patch.setattr(database._write_slots, "patience", LONG_TIMEOUT)
            patch.setattr(database.engine.pool, "_timeout", LONG_TIMEOUT)
            yield
    finally:
        event.remove(database.engine.sync_engine, "do_connect", set_connect_timeout)
        event.remove(database.engine.sync_engine, "connect", set_lock_timeout)
        _replace_connections(database)


def _replace_connections(database: Database) -> None:
    """Have each connection of the pool replaced before its next use."""
    database.engine.pool._invalidate_time = time()
