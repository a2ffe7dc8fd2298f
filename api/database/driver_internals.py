"""The one place where this room leans on what a driver does not promise, and the test that notices it.

- aiomysql says nowhere else whether its connection is encrypted, and goes on in the clear where the server offers no
  TLS: `tests/database/test_tls.py`.
"""

from typing import Any


def is_encrypted(driver: Any) -> bool:
    """Whether aiomysql's connection uses TLS."""
    return bool(driver._secure)
