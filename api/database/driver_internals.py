"""The one place where this room leans on what aiomysql does not promise, and the test that notices each.

- It says nowhere else whether its connection is encrypted, and goes on in the clear where the server offers no TLS:
  `tests/faults/test_tls.py`.
- It expects that writing to a connection that was broken off does nothing, so that the read after it tells. uvloop, on
  which uvicorn runs, raises a RuntimeError instead, which is no error of a database: `tests/web/test_networks.py`.
- Its socket is nowhere else: `tests/database/test_engine.py`.
"""

import socket
from collections.abc import Mapping
from contextlib import suppress
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


def set_socket_options(driver: Any, options: Mapping[str, int]) -> None:
    """Set options of TCP by their names, where the connection is one, and the system has them."""
    connected = driver._writer.get_extra_info("socket")
    if connected.family in (socket.AF_INET, socket.AF_INET6):
        for name, value in options.items():
            if hasattr(socket, name):
                connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
