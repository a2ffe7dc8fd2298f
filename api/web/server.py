"""How uvicorn answers what is no HTTP at all, before any request exists that the app could answer."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.web.middleware import SECURITY_HEADERS
from api.web.problems import problem_response

NO_HTTP = (
    "The request is not valid HTTP. In a path and in a query, everything beyond ASCII is percent-encoded: caf%C3%A9."
)
"""Tools such as curl send what they are given, and most often that is a letter with an accent."""


class ProblemProtocol(HttpToolsProtocol):
    """Refuses in the same form as the app; tools name it as `--http api.web.server:ProblemProtocol`."""

    def send_400_response(self, msg: str) -> None:
        response = problem_response(400, NO_HTTP, headers={**SECURITY_HEADERS, "Connection": "close"})
        headers = b"".join(b"%b: %b\r\n" % header for header in response.raw_headers)
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n%b\r\n%b" % (headers, bytes(response.body)))
        self.transport.close()
