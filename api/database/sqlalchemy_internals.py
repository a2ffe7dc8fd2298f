"""The one place where this room leans on what SQLAlchemy does not promise, and the test that notices each.

- `get_bind` is documented as the place where a session chooses its connection, but not that an `AsyncSession` runs it
  in a greenlet, where `await_only` can wait: `tests/database/test_write_slots.py`.
- `_generate_cache_key` tells the shape of a statement from its values, as the cache of an engine does:
  `tests/database/test_statements.py`.
- `_invalidate` marks all connections of a pool that are as old as a dead one: `tests/database/test_connections.py`.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sqlalchemy import BindParameter, Executable, Pool, PoolProxiedConnection
from sqlalchemy.util import await_only
from sqlmodel import Session

BEFORE_CONNECTING = "before_connecting"
"""The key in a session's `info` of what it awaits before it takes a connection."""


class WaitingSession(Session):
    """Awaits a function before it takes a connection. A session without a statement never awaits it.

    Everything that an `AsyncSession` awaits may call `get_bind`; `session.get_bind()` by itself may not.
    """

    def get_bind(self, *args: Any, **options: Any) -> Any:
        before_connecting: Callable[[], Awaitable[None]] | None = self.info.get(BEFORE_CONNECTING)
        if before_connecting is not None:
            await_only(before_connecting())
        return super().get_bind(*args, **options)


def shape_and_parameters(statement: Executable) -> tuple[Any, Sequence[BindParameter[Any]]]:
    """What two statements have in common that differ in their values only, and the parameters with the values."""
    key = statement._generate_cache_key()  # type: ignore[attr-defined]
    if key is None:
        raise TypeError(f"the statement cannot be compiled once for all its values: {statement}")
    return key.key, key.bindparams


def invalidate_pool(pool: Pool, connection: PoolProxiedConnection, error: BaseException) -> None:
    """Have every connection that is as old as a dead one replaced before its next use."""
    pool._invalidate(connection, error, _checkin=False)
