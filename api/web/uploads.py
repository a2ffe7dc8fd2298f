"""Files as bodies of requests: read to disk while they are hashed, within a limit and a deadline of their own.

They are read once it is known that the caller may send them. The file has no name, so nothing is left of it, whatever
ends the request or the process.
"""

import asyncio
import hashlib
import tempfile
from dataclasses import dataclass
from typing import Annotated, BinaryIO

from fastapi import Depends, Request
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import Unavailable, Unprocessable
from api.web.file_formats import FileFormat
from api.web.key_rules import reads_upload
from api.web.transactions import HUNG_UP, Handler, refuse_compressed, run_of

UPLOAD_DEADLINE = 300
"""Seconds for what is done with a file once it is read, all attempts together."""


@dataclass
class UploadedFile:
    """A body that was read."""

    file: BinaryIO
    file_format: FileFormat
    digest: str
    deadline: float


class UploadLimit:
    """Limits the body of one route by `MAX_IMPORT_SIZE` in place of `MAX_BODY_SIZE`.

    `beside` is how many bytes the body may have beside the file, where the file is a part of a form.
    """

    def __init__(self, app: ASGIApp, beside: int = 0) -> None:
        self._app = app
        self._beside = beside

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = scope["app"].state.settings.max_import_size + self._beside
        await RequestBodyLimitMiddleware(self._app, limit)(scope, receive, send)


def no_room() -> Unavailable:
    """The refusal of a file that the disk has no room for."""
    return Unavailable("The server has no room for the file. Try again later.", retry_after=60)


def without_leftovers(run: Handler) -> Handler:
    """Close the file of a request when it is answered, which also deletes it."""

    async def handle(request: Request) -> Response:
        try:
            return await run(request)
        finally:
            if (upload := _known(request)) is not None:
                upload.file.close()

    return handle


@reads_upload
async def _upload(request: Request) -> UploadedFile:
    """The file, read at the first attempt of a request and kept for the others.

    Raises:
        Unprocessable: It has another Content-Type.
        HTTPException: It is compressed, or the client hung up.
        Unavailable: The disk is full.
    """
    run, upload = run_of(request), _known(request)
    if upload is None:
        file_format = _format_of(request)
        refuse_compressed(request)
        run.time_limit.move(None)  # a slow client has all the time it needs
        upload = request.state.upload = await _read(request, file_format)
    run.time_limit.move(upload.deadline)
    if run.after_upload is not None:
        await run.after_upload(upload.digest)
    return upload


Upload = Annotated[UploadedFile, Depends(_upload)]


def _known(request: Request) -> UploadedFile | None:
    upload: UploadedFile | None = getattr(request.state, "upload", None)
    return upload


def _format_of(request: Request) -> FileFormat:
    file_format = FileFormat.of_content_type(request.headers.get("Content-Type"))
    if file_format is None:
        raise Unprocessable("body", "must be sent with the Content-Type text/csv or application/jsonl")
    return file_format


async def _read(request: Request, file_format: FileFormat) -> UploadedFile:
    digest = hashlib.sha256()
    try:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - `without_leftovers` closes it
    except OSError as error:
        raise no_room() from error
    try:
        async for part in request.stream():
            file.write(part)
            digest.update(part)
        file.flush()
    except BaseException as error:
        file.close()
        if isinstance(error, ClientDisconnect):
            raise HTTPException(400, HUNG_UP) from error
        if isinstance(error, OSError):
            raise no_room() from error
        raise
    deadline = asyncio.get_running_loop().time() + UPLOAD_DEADLINE
    return UploadedFile(file, file_format, digest.hexdigest(), deadline)
