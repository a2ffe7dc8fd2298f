"""Write slots: how many writes one process runs at once. The others wait for their turn here.

In the database they would wait for each other's rows, and that counts against the lock timeout. The slots also leave
connections to reads: however many writes wait for one row, a read is answered.
"""

import asyncio

from sqlalchemy.exc import TimeoutError as PoolTimeout

MAX_WRITES = 8
"""Writes at once: a process, with its one event loop, keeps no more of them busy."""

READ_SHARE = 5
"""One connection in five is left to reads, and at least one. With fewer, a burst of writes would delay every read; with
more, writes would wait although connections are free."""


def slots_for(backend: str, connections: int | None) -> int:
    """How many writes may run at once; `connections` is the size of the pool, `None` where there is none.

    SQLite has one writer: a second one would poll for the end of the first, and lose.
    """
    if backend == "sqlite":
        return 1
    if connections is None:
        return MAX_WRITES
    return max(1, min(MAX_WRITES, connections - max(1, connections // READ_SHARE)))


class NoWriteSlot(PoolTimeout):
    """No slot became free in time. To a request it is like a pool without a free connection."""


class WriteSlots:
    """The slots of one process. `patience` is how many seconds a write waits for one."""

    def __init__(self, slots: int, patience: float) -> None:
        self.slots = slots
        self.free = asyncio.Semaphore(slots)
        self.patience = patience
        self.in_use = self.waiting = 0

    def are_taken(self) -> bool:
        """Whether a write would have to wait."""
        return self.free.locked()


class WriteSlot:
    """The slot of one transaction, taken before its first statement."""

    def __init__(self, slots: WriteSlots) -> None:
        self.slots = slots
        self.is_taken = False

    async def take(self) -> None:
        """Wait for a slot, once.

        Raises:
            sqlalchemy.exc.TimeoutError: None became free in time.
        """
        if self.is_taken:
            return
        self.slots.waiting += 1
        try:
            async with asyncio.timeout(self.slots.patience):
                await self.slots.free.acquire()
        except TimeoutError as error:
            raise NoWriteSlot(f"No write has ended for {self.slots.patience} seconds.") from error
        finally:
            self.slots.waiting -= 1
        self.slots.in_use += 1
        self.is_taken = True

    def release(self) -> None:
        if self.is_taken:
            self.slots.in_use -= 1
            self.slots.free.release()
