"""The one place where this room leans on what SQLAlchemy does not promise, and the test that notices each.

- `get_bind` is documented as the place where a session chooses its connection, but not that an `AsyncSession` runs it
  in a greenlet, where `await_only` can wait: `tests/database/test_write_slots.py`.
- A `Connection` can be made on a connection of the pool, but is documented as what an engine makes:
  `tests/database/test_connections.py`.
- `_generate_cache_key` tells the shape of a statement from its values, as the cache of an engine does:
  `tests/reads/test_json.py`.
- `_values` of an UPDATE is what it sets: `tests/database/test_auditing.py` and `tests/models/test_versioned.py`.
- The queue of a pool and what its records know of their connections: `tests/database/test_connections.py`.
- The queue in a pool knows who waits for a connection, but tells nobody: `tests/database/test_connections.py`.
- `_invalidate` marks all connections of a pool that are as old as a dead one: `tests/database/test_connections.py`.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sqlalchemy import (
    AsyncAdaptedQueuePool,
    BindParameter,
    ClauseElement,
    Connection,
    Engine,
    Pool,
    PoolProxiedConnection,
    Select,
    Update,
)
from sqlalchemy.util import await_only
from sqlmodel import Session

CONNECT = "connect"
"""The key in a session's `info` of what it awaits to get the connection that it uses."""


RECYCLE_MARGIN = 1
"""Seconds before a connection is too old in which it counts as such: it must not become so while it is taken."""


class ConnectingSession(Session):
    """Awaits its connection when it has its first statement. A session without a statement never awaits it.

    Everything that an `AsyncSession` awaits may call `get_bind`; `session.get_bind()` by itself may not.
    """

    def get_bind(self, *args: Any, **options: Any) -> Any:
        connect: Callable[[], Awaitable[Connection]] | None = self.info.get(CONNECT)
        return super().get_bind(*args, **options) if connect is None else await_only(connect())


def connection_on(engine: Engine, proxied: PoolProxiedConnection) -> Connection:
    """SQLAlchemy's connection on one that was taken out of the pool; the pool gets it back by `proxied.close()`."""
    return Connection(engine, proxied)


def shape_and_parameters(statement: Select[Any]) -> tuple[Any, Sequence[BindParameter[Any]]]:
    """What two statements have in common that differ in their values only, and the parameters with the values."""
    key = statement._generate_cache_key()
    if key is None:
        raise TypeError(f"the statement cannot be compiled once for all its values: {statement}")
    return key.key, key.bindparams


def values_of(statement: Update) -> dict[str, ClauseElement]:
    """What an UPDATE sets, by the names of the columns."""
    sets: Any = statement._values or {}
    return {getattr(column, "key", column): value for column, value in sets.items()}


def invalidate_pool(pool: Pool, connection: PoolProxiedConnection, error: BaseException) -> None:
    """Have every connection that is as old as a dead one replaced before its next use."""
    pool._invalidate(connection, error, _checkin=False)


def has_ready(pool: AsyncAdaptedQueuePool) -> bool:
    """Whether the connection that the pool gives next is open and not to be replaced, so that nothing is waited for."""
    idle: Any = pool._pool
    if idle.empty():
        return False
    record = idle._queue._queue[0]
    is_old = 0 <= pool._recycle <= time.time() - record.starttime + RECYCLE_MARGIN
    return not is_old and not record._is_hard_or_soft_invalidated()


def waiting_for(pool: AsyncAdaptedQueuePool) -> int:
    """How many tasks wait for a connection of the pool."""
    queue: Any = pool._pool
    return sum(not each.done() for each in queue._queue._getters)
