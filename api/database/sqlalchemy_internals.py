"""The one place where this room leans on what SQLAlchemy does not promise, and the test that notices each.

- `get_bind` is documented as the place where a session chooses its connection, but not that an `AsyncSession` runs it
  in a greenlet, where `await_only` can wait: `tests/database/test_write_slots.py`.
- A `Connection` can be made on a connection of the pool, but is documented as what an engine makes:
  `tests/database/test_connections.py`.
- `_generate_cache_key` tells the shape of a statement from its values, as the cache of an engine does:
  `tests/reads/test_json.py`.
- `_values` of an UPDATE is what it sets: `tests/database/test_auditing.py` and `tests/models/test_versioned.py`.
- `_invalidate` marks all connections of a pool that are as old as a dead one: `tests/database/test_connections.py`.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from sqlalchemy import BindParameter, ClauseElement, Connection, Engine, Pool, PoolProxiedConnection, Select, Update
from sqlalchemy.util import await_only
from sqlmodel import Session

CONNECT = "connect"
"""The key in a session's `info` of what it awaits to get the connection that it uses."""


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
