"""The one place where this room leans on what SQLAlchemy does not promise.

`get_bind` is documented as the place where a session chooses its connection, but not that an `AsyncSession` runs it in
a greenlet, where `await_only` can wait. `tests/database/test_write_slots.py` fails where an upgrade changes that.
"""

from collections.abc import Awaitable, Callable
from typing import Any

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
