"""How long something may take: by one timer, where two of `asyncio.timeout` would cost a quarter of a statement.

Source: the source of `asyncio.Timeout`, on what a cancellation becomes that a timer has asked for.
"""

import asyncio
from types import TracebackType
from typing import Any, Self

CANCEL_GRACE = 0.7
"""Seconds beyond a time limit in which a driver may ask the server to end its statement. One that hears nothing from
the server, as on a connection that a firewall forgot, would wait for ten."""


class TimeLimit:
    """Ends a block at a time of the event loop's clock, and what it is cleaned up with soon after.

    Raises:
        TimeoutError: The block did not end in time.
    """

    __slots__ = ("_cancelling", "_cancels", "_ends", "_task", "_timer")

    def __init__(self, ends: float) -> None:
        self._ends = ends
        self._task: asyncio.Task[Any] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    def of(cls, seconds: float) -> Self:
        """One that ends so many seconds from now."""
        return cls(asyncio.get_running_loop().time() + seconds)

    async def __aenter__(self) -> Self:
        self._task = asyncio.current_task()
        if self._task is None:
            raise RuntimeError("A time limit needs a task to end: run this in one.")
        self._cancelling, self._cancels = self._task.cancelling(), 0
        self.move(self._ends)
        return self

    def move(self, ends: float | None) -> None:
        """Have the block end at another time; `None` is without end. It is not moved while the block is cleaned up.

        Raises:
            RuntimeError: The block has ended, or has not begun.
        """
        if self._task is None:
            raise RuntimeError("A time limit is moved within its block.")
        if self._cancels == 0:
            self._stop_timer()
            if ends is not None:
                self._timer = self._task.get_loop().call_at(ends, self._cancel, self._task)

    def _cancel(self, task: asyncio.Task[Any]) -> None:
        self._cancels += 1
        task.cancel()
        if self._cancels == 1:
            self._timer = task.get_loop().call_later(CANCEL_GRACE, self._cancel, task)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop_timer()
        task, self._task = self._task, None
        if task is not None and self._cancels:
            for _ in range(self._cancels):
                task.uncancel()
            if kind is asyncio.CancelledError and task.cancelling() <= self._cancelling:  # nobody else has cancelled it
                raise TimeoutError from error
