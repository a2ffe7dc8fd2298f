"""Longer timeouts, for tests that send more requests at once than the app can answer in its ordinary time."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Dialect, event

from api.database.sessions import Database
from api.web import transactions

LONG_TIMEOUT = 60
"""Seconds. Of hundreds of simultaneous requests the last one waits for all others, in the one event loop of a test."""


@contextmanager
def long_timeouts(database: Database) -> Iterator[None]:
    """Let each request wait `LONG_TIMEOUT` for its connection, its write slot and its answer.

    The tests in tests/web/ show what happens to a request that exceeds the ordinary timeouts.
    """

    def set_connect_timeout(dialect: Dialect, record: Any, arguments: Any, options: dict[str, Any]) -> None:
        if "connect_timeout" in options:
            options["connect_timeout"] = LONG_TIMEOUT

    event.listen(database.engine.sync_engine, "do_connect", set_connect_timeout)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(transactions, "REQUEST_DEADLINE", LONG_TIMEOUT)
            patch.setattr(database._write_slots, "patience", LONG_TIMEOUT)
            patch.setattr(database.engine.pool, "_timeout", LONG_TIMEOUT)
            yield
    finally:
        event.remove(database.engine.sync_engine, "do_connect", set_connect_timeout)
