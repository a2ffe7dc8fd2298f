"""The sessions as a route asks for them. Both end, and a write session commits, before the answer is sent."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from sqlmodel.ext.asyncio.session import AsyncSession

from api.web.transactions import run_of


async def read_session(request: Request) -> AsyncSession:
    return await run_of(request).read_session()


async def write_session(request: Request) -> AsyncSession:
    return await run_of(request).write_session()


async def write_session_later(request: Request) -> Callable[[], Awaitable[AsyncSession]]:
    return run_of(request).write_session


ReadSession = Annotated[AsyncSession, Depends(read_session)]
"""In autocommit: each statement sees what is committed."""

WriteSession = Annotated[AsyncSession, Depends(write_session)]
"""One transaction. A route never commits it: `api/web/transactions.py` does."""

LaterWriteSession = Annotated[Callable[[], Awaitable[AsyncSession]], Depends(write_session_later)]
"""The same, which begins when it is called: for a route that has much to do before it writes."""
