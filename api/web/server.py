"""What uvicorn does by itself, as the shop has it: it refuses what is no HTTP, and closes idle connections.

The Procfile names it, `--http api.web.server:ShopProtocol`, and `python -m api` takes it too.
"""

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.settings import get_settings
from api.web.event_streams import OPEN_STREAM, Stream
from api.web.middleware import SECURITY_HEADERS
from api.web.problems import problem_response

NO_HTTP = (
    "The request is not valid HTTP. In a path and in a query, everything beyond ASCII is percent-encoded: caf%C3%A9."
)
"""Tools such as curl send what they are given, and most often that is a letter with an accent."""


STREAM_GRACE = 1
"""Seconds for a stream of events to send its end; a client that does not read would keep the server from stopping."""


class ShopProtocol(HttpToolsProtocol):
    """Refuses in the same form as the app, and keeps connections for as long as KEEP_ALIVE says, where it is set."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        settings = get_settings()
        if "keep_alive" in settings.model_fields_set:
            self.timeout_keep_alive = settings.keep_alive

    def shutdown(self) -> None:
        """A stream of events ends at once: a stop does not wait for what has no end."""
        super().shutdown()
        stream = self.cycle and self.cycle.scope.get(OPEN_STREAM)
        if isinstance(stream, Stream):
            stream.end()
            self.loop.call_later(STREAM_GRACE, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        response = problem_response(400, NO_HTTP, headers={**SECURITY_HEADERS, "Connection": "close"})
        headers = b"".join(b"%b: %b\r\n" % header for header in response.raw_headers)
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n%b\r\n%b" % (headers, bytes(response.body)))
        self.transport.close()
