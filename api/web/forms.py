"""What a browser sends of a form without a file."""

from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import Request

FORM = "application/x-www-form-urlencoded"

MAX_FIELDS = 2_000
"""Fields of one form; no form here has as many."""


async def fields_of_form(request: Request) -> dict[str, str]:
    """`in_transaction` has read the body, and refuses one that is compressed or incomplete.

    Raises:
        HTTPException: It is no form, or one with too many fields.
    """
    body = (await request.body()).decode("utf-8", "replace")
    if body and media_type_of(request) != FORM:
        raise HTTPException(415, f"A form is sent as {FORM}.")
    try:
        return dict(parse_qsl(body, keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError:
        raise HTTPException(400, f"The form has more than {MAX_FIELDS:,} fields.") from None


def media_type_of(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
