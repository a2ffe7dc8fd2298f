"""How long something may take: by one timer, where two of `asyncio.timeout` would cost a quarter of a statement.

Source: the source of `asyncio.Timeout`, on what a cancellation becomes that a timer has asked for.
"""

import asyncio
from types import TracebackType
from typing import Self

CANCEL_GRACE = 0.7
"""Seconds beyond a time limit in which a driver may ask the server to end its statement. One that hears nothing from
the server, as on a connection that a firewall forgot, would wait for ten."""


class TimeLimit:
    """Ends a block at a time of the event loop's clock, and what it is cleaned up with soon after.

    Raises:
        TimeoutError: The block did not end in time.
    """

    __slots__ = ("_cancelling", "_cancels", "_ends", "_loop", "_task", "_timer")

    def __init__(self, ends: float) -> None:
        self._ends: float | None = ends
        self._cancels = 0
        """How often the block was cancelled from here."""

    @classmethod
    def of(cls, seconds: float) -> Self:
        """One that ends so many seconds from now."""
        return cls(asyncio.get_running_loop().time() + seconds)

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a time limit ends a task")
        self._task, self._cancelling = task, task.cancelling()
        self._loop = task.get_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.move(self._ends)
        return self

    def move(self, ends: float | None) -> None:
        """Have the block end at another time; `None` is without end. One that is cleaned up has no other time."""
        if self._cancels == 0:
            self._ends = ends
            self._stop_timer()
            if ends is not None:
                self._timer = self._loop.call_at(ends, self._cancel)

    def _cancel(self) -> None:
        self._cancels += 1
        self._task.cancel()
        if self._cancels == 1:
            self._timer = self._loop.call_later(CANCEL_GRACE, self._cancel)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop_timer()
        if self._cancels:
            cancelling = [self._task.uncancel() for _ in range(self._cancels)][-1]
            if kind is asyncio.CancelledError and cancelling <= self._cancelling:  # nobody else has cancelled it
                raise TimeoutError from error
