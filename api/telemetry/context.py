"""What is being done: the request, and the trace that it is a part of. Every line of the log has both."""

import re
from contextvars import ContextVar

from opentelemetry import trace

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
trace_id: ContextVar[str | None] = ContextVar("trace_id", default=None)

TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
"""W3C Trace Context, section 3.2; a later version may append fields, and the version 00 must not."""


def trace_of(traceparent: bytes | None) -> str | None:
    """The id of the trace: that of the span of the request where OpenTelemetry is on, else the one that was sent."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        return f"{context.trace_id:032x}"
    if traceparent is None:
        return None
    found = TRACEPARENT.fullmatch(traceparent)
    if found is None or (traceparent.startswith(b"00") and found[2] is not None):
        return None
    return found[1].decode()
