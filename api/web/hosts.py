"""Which hosts the shop answers as, by the Host header of a request."""

import re
from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from api.web.paths import path_of
from api.web.problems import problem_response

HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+?)\.?(?::[0-9]*)?")
"""RFC 9110, section 7.2: a name or an address, and a port. A dot at the end of a name only says that it is complete."""

PROBES = {"/health", "/health/ready"}
"""Load balancers and Kubernetes call them by the address of a machine, which is no host name of the shop."""

REFUSAL = "The Host header is not an allowed host (see ALLOWED_HOSTS)."


class AllowedHosts:
    """Refuses requests for other hosts than the shop's own, so that no link is made of a host that a client chose."""

    def __init__(self, app: ASGIApp, *, hosts: Sequence[str]) -> None:
        self.app = app
        self.any = "*" in hosts
        names = [each.lower().removesuffix(".").encode() for each in hosts]
        self.names = {each for each in names if not each.startswith(b"*")}
        self.domains = tuple(each[1:] for each in names if each.startswith(b"*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.any or scope["type"] != "http" or self._allows(scope) or path_of(scope).rstrip("/") in PROBES:
            await self.app(scope, receive, send)
        else:
            await problem_response(400, REFUSAL)(scope, receive, send)

    def _allows(self, scope: Scope) -> bool:
        sent = [value for name, value in scope["headers"] if name == b"host"]
        parts = HOST.fullmatch(sent[0]) if len(sent) == 1 else None
        if parts is None:
            return False
        host = parts[1].lower()
        return host in self.names or host.endswith(self.domains)
