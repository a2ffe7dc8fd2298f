"""A form with a file, which is kept on disk and not in memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from api.web.forms import media_type_of
from api.web.transactions import HUNG_UP, refuse_compressed
from api.web.uploads import no_room

FORM_WITH_FILE = "multipart/form-data"

FILE_LOST = "Your session has ended. Sign in again, and choose the file again."
TOO_LARGE = "The file is larger than {:,} bytes. Import it in parts, or with `python -m api import`."

MAX_FIELDS_BESIDE_FILE = 20
MAX_FIELD_SIZE = 1_000

MAX_BESIDE_FILE = 65_536
"""Bytes that a form may have beside its file: the fields, the name of the file, and what separates them."""


@asynccontextmanager
async def form_with_file(request: Request) -> AsyncIterator[tuple[dict[str, str], UploadFile | None]]:
    """The fields of a form and its file, which is deleted after the block; `None` where nobody chose one.

    Raises:
        HTTPException: It is no such form, or larger than it may be, or the client hung up.
        Unavailable: The disk is full.
    """
    refuse_compressed(request)
    if media_type_of(request) != FORM_WITH_FILE:
        raise HTTPException(415, f"A form with a file is sent as {FORM_WITH_FILE}.")
    try:
        form = await request.form(max_files=1, max_fields=MAX_FIELDS_BESIDE_FILE, max_part_size=MAX_FIELD_SIZE)
    except ClientDisconnect as error:
        raise HTTPException(400, HUNG_UP) from error
    except OSError as error:
        raise no_room() from error
    try:
        files = [each for each in form.values() if isinstance(each, UploadFile) and each.filename]
        yield {name: text for name, text in form.items() if isinstance(text, str)}, next(iter(files), None)
    finally:
        await form.close()
