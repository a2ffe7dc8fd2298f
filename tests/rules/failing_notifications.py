"""A shop in which no notification can be written."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlmodel.ext.asyncio.session import AsyncSession

from tests.web.support import run


@asynccontextmanager
async def failing_notifications(session: AsyncSession) -> AsyncIterator[None]:
    await run(session, "ALTER TABLE notifications RENAME TO renamed_notifications")
    try:
        yield
    finally:
        await run(session, "ALTER TABLE renamed_notifications RENAME TO notifications")
