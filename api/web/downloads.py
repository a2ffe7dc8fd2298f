"""Files that are written while they are sent."""

from collections.abc import AsyncIterator

from fastapi import Request
from starlette.responses import StreamingResponse

from api.web.dispatch import is_head


async def file_response(request: Request, parts: AsyncIterator[bytes], name: str, media_type: str) -> StreamingResponse:
    """The first part is read before the answer begins, so that a database that is away is a 503, and no broken file.

    A HEAD reads no more than that.
    """
    first = await anext(parts, b"")

    async def all_parts() -> AsyncIterator[bytes]:
        yield first
        if is_head(request):
            return
        async for part in parts:
            yield part

    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(all_parts(), headers=headers, media_type=media_type)
