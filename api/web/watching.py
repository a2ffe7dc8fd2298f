"""What is told of each request: one line of the log, its place in the metrics, and the path of its span.

Nothing of it is personal. A path is told as it is where it has only numbers, such as `/products/5`; else its template
is, because e-mail addresses and names stand in paths too, and a path that no route has may hold anything. Queries are
not told. Of an address, the last part is left out.
"""

import ipaddress
from functools import lru_cache
from time import perf_counter
from typing import Any

from opentelemetry.trace import Span, get_current_span
from starlette.requests import ClientDisconnect
from starlette.types import Message, Scope

from api.models.user import Caller
from api.telemetry.context import request_id, trace_id, trace_of
from api.telemetry.lines import Access
from api.telemetry.logs import log
from api.telemetry.metrics import metrics
from api.web.event_streams import OPEN_STREAM
from api.web.paths import path_of

CALLER = "caller"
"""The key in the state of a request of who sent it, where that is known."""

UNKNOWN = "unknown"
"""The route of a path that no route has: one label for all of them."""

HUNG_UP = 499
"""The status of a request whose client hung up before its answer began, as nginx writes it."""

NETWORK_BITS = {4: 24, 6: 48}
"""Of an address, by its version: what tells of a network, and not of a person."""


class Watched:
    """One request."""

    __slots__ = ("_began", "_method", "_scope", "_span", "is_whole", "size", "status")

    def __init__(self, scope: Scope, its_id: str) -> None:
        self._began = perf_counter()
        self._scope = scope
        self._method = scope["method"]
        self.status = 0
        self.size = 0
        self.is_whole = False
        """Whether the last part of the answer was sent."""
        request_id.set(its_id)
        trace_id.set(trace_of(next((value for name, value in scope["headers"] if name == b"traceparent"), None)))
        metrics.in_progress += 1
        span = get_current_span()
        self._span: Span | None = span if span.is_recording() else None
        if self._span is not None:  # FastAPI notes both as they are
            self._span.set_attribute("url.path", UNKNOWN)
            if scope["query_string"]:
                self._span.set_attribute("url.query", "REDACTED")

    def note(self, message: Message) -> None:
        """A part of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._span is not None:
                self._span.set_attribute("url.path", _told_path(self._scope))
        else:
            self.size += len(message.get("body", b""))
            self.is_whole = not message.get("more_body")

    def end(self, error: BaseException | None) -> None:
        seconds = perf_counter() - self._began
        metrics.in_progress -= 1
        scope = self._scope
        failed = isinstance(error, Exception) and not isinstance(error, ClientDisconnect)
        is_cut_off = failed and self.status > 0 and not self.is_whole  # what was promised with the status is not there
        status = 500 if is_cut_off else self.status or (500 if failed else HUNG_UP)
        route = getattr(scope.get("route"), "path_format", UNKNOWN)
        if OPEN_STREAM not in scope:  # how long a stream is open is no latency
            metrics.answered(self._method, route, status, seconds)
        if log.has_access:
            caller: Caller | None = scope["state"].get(CALLER)
            client = _network_of(scope["client"][0]) if scope["client"] else "-"
            who = None if caller is None else caller.id
            kind = "nobody" if caller is None else "staff" if caller.is_superuser else "customer"
            path = _told_path(scope)
            log.access(Access(self._method, route, path, status, seconds, self.size, client, who, kind, is_cut_off))


def _told_path(scope: Scope) -> str:
    template: str = getattr(scope.get("route"), "path_format", UNKNOWN)
    values: dict[str, Any] = scope.get("path_params") or {}
    if "{" in template and all(str(each).isdecimal() for each in values.values()):
        return path_of(scope)
    return template


@lru_cache(maxsize=1024)
def _network_of(address: str) -> str:
    try:
        version = ipaddress.ip_address(address).version
        return str(ipaddress.ip_network(f"{address}/{NETWORK_BITS[version]}", strict=False).network_address)
    except ValueError:  # a proxy may send a name
        return "-"
