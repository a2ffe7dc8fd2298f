"""The id of a request: the client's own, as `X-Request-ID`, or a new one. Its answer and its audit entries have it."""

import re
import secrets
from typing import Any

from api.models.audit_entry import MAX_REQUEST_ID_LENGTH

HEADER = b"x-request-id"
VISIBLE = re.compile(rb"[\x21-\x7e]{1,%d}" % MAX_REQUEST_ID_LENGTH)

STATE = "request_id"
"""The key in the state of a request."""


def new_request_id() -> str:
    return secrets.token_hex(16)


def give_request_id(scope: Any) -> str:
    """The id that a client sends; a new one, where it sends none, or none that can be kept."""
    sent = next((value for name, value in scope["headers"] if name == HEADER), b"")
    request_id: str = sent.decode() if VISIBLE.fullmatch(sent) else new_request_id()
    scope.setdefault("state", {})[STATE] = request_id
    return request_id


def request_id_of(scope: Any) -> str | None:
    """The id of a request; none outside of the middleware."""
    found: str | None = scope.get("state", {}).get(STATE)
    return found
