"""What happens in a shop, one thing after the other, in the order of time.

A story is told by an async generator: it yields how long it waits, and gets a session when that time has come. Stories
take turns as their times come, as they would in a shop, so that what is stored later also happened later.
"""

from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import count

from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.models.base import at

Story = AsyncGenerator[timedelta, AsyncSession]

STEPS_AT_A_TIME = 100
"""Steps of one transaction, which takes some tenths of a second: other writes wait no longer."""


class Agenda:
    """The stories that wait for their next moment. What would come after the end is not told."""

    def __init__(self, until: datetime) -> None:
        self.until = until
        self._waiting: list[tuple[datetime, int, Story]] = []
        self._numbers = count()

    async def begin(self, story: Story, moment: datetime) -> None:
        """Have a story wait, from a moment on, for as long as it says first."""
        with at(moment):
            delay = await anext(story, None)
        if delay is not None:
            await self._wait(story, moment, delay)

    async def run(self, database: Database) -> None:
        """Tell all stories up to the end. Where this is interrupted, what was told stands, and nothing is half told."""
        while self._waiting:
            async with database.transaction() as session:
                for _ in range(min(STEPS_AT_A_TIME, len(self._waiting))):
                    await self._go_on(session)

    async def _go_on(self, session: AsyncSession) -> None:
        moment, _, story = heappop(self._waiting)
        with at(moment):
            try:
                delay = await story.asend(session)
            except StopAsyncIteration:
                return
        await self._wait(story, moment, delay)

    async def _wait(self, story: Story, moment: datetime, delay: timedelta) -> None:
        if moment + delay > self.until:
            await story.aclose()
        else:
            heappush(self._waiting, (moment + delay, next(self._numbers), story))
