"""Signatures of Standard Webhooks: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/."""

import base64
import hashlib
import hmac
from collections.abc import Iterable

from api.models.webhook import SECRET_PREFIX


def signature(secrets: Iterable[str], message_id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`: one signature by each secret, any of which a receiver may know."""
    signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
    keys = (base64.b64decode(each.removeprefix(SECRET_PREFIX)) for each in secrets)
    return " ".join("v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys)
