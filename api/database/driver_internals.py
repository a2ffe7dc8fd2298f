"""The one place where this room leans on what its drivers do not promise, and the test that notices each.

Of aiomysql:
- It says nowhere else whether its connection is encrypted, and goes on in the clear where the server offers no TLS:
  `tests/faults/test_tls.py`.
- It expects that writing to a connection that was broken off does nothing, so that the read after it tells. uvloop, on
  which uvicorn runs, raises a RuntimeError instead, which is no error of a database: `tests/web/test_networks.py`.
- Its socket is nowhere else: `tests/database/test_engine.py`.
- Its `close` has TLS say farewell, which takes the server's answer, and an event loop that ends does not wait for it:
  `tests/faults/test_tls.py`.

Of psycopg:
- At a rollback it takes back what is prepared in its session, by `DEALLOCATE ALL`: `tests/database/test_libpq.py`.

Of aiosqlite:
- It waits for a statement that is to be interrupted, and says nowhere which thread runs it:
  `tests/database/test_abandoned_statements.py`.
- Its thread takes one statement at a time, and closes a cursor in a turn of its own: `tests/database/test_batches.py`.
"""

import socket
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Thread
from typing import Any


def is_encrypted(driver: Any) -> bool:
    """Whether the connection uses TLS."""
    return bool(driver._secure)


def let_reads_tell_of_the_end(driver: Any) -> None:
    """Have a write to a connection that was broken off do nothing, on each event loop."""
    write = driver._writer.write

    def write_if_open(data: bytes) -> None:
        with suppress(RuntimeError):
            write(data)

    driver._writer.write = write_if_open


def close_at_once(driver: Any) -> None:
    """Have closing take no answer of the server, which has been told already (`COM_QUIT`)."""

    def close() -> None:
        if driver._writer is not None:
            driver._writer.transport.abort()
        driver._reader = driver._writer = None

    driver.close = close


def set_socket_options(driver: Any, options: Mapping[str, int]) -> None:
    """Set options of TCP by their names, where the connection is one, and the system has them."""
    connected = driver._writer.get_extra_info("socket")
    if connected.family in (socket.AF_INET, socket.AF_INET6):
        for name, value in options.items():
            if hasattr(socket, name):
                connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def keep_prepared(driver: Any) -> None:
    """Have psycopg keep its prepared statements at a rollback, as the server does: with them, all others would go."""
    driver._prepared.clear = lambda: False


def abandon(driver: Any) -> None:
    """Have the thread of an SQLite connection give up its statement and roll back, before it closes the connection.

    The statement would be run to its end. A connection that is closed while a cursor of it is still referred to, as in
    a traceback, would keep its locks until that cursor is gone.
    """
    if driver._connection is not None:
        driver._connection.interrupt()
        driver._tx.put_nowait((None, driver._connection.rollback))


async def run_in_thread(driver: Any, function: Callable[[sqlite3.Connection], None]) -> None:
    """Run a function in the thread of an SQLite connection, which may use that connection there."""
    await driver._execute(lambda: function(driver._conn))


def thread_of(driver: Any) -> Thread:
    """The thread that runs the statements of an SQLite connection."""
    thread: Thread = driver._thread
    return thread
