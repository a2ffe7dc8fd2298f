"""The port on which Prometheus reads the metrics, which the public does not see.

Every process of the service listens on it: the kernel hands a scrape to one of them, and each answers for all. So the
port answers for as long as any of them is alive. A thread answers, also while the event loop is busy.
"""

import errno
import ipaddress
import socket
from collections.abc import Iterator
from socketserver import TCPServer, ThreadingMixIn
from threading import Thread
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, Metric, make_wsgi_app
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from api.telemetry.slots import Slot

PATIENCE = 5
"""Seconds in which a scrape has to send its request."""


class Everybody(Collector):
    """The metrics of all processes of the service."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self._files = MultiProcessCollector(None, str(slot.folder))

    def collect(self) -> Iterator[Metric]:
        with self._slot.alone():
            self._slot.forget_dead()
            found = list(self._files.collect())
        yield from found


class _Handler(WSGIRequestHandler):
    timeout = PATIENCE

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the name that the base class gives it
        """Nobody asks for a line of each scrape."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    allow_reuse_port = True

    def server_bind(self) -> None:
        """Without asking the name service what the host is called."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def handle_error(self, request: object, client_address: object) -> None:
        """A scrape that hung up is nobody's mistake."""


class _IPv6Server(_Server):
    address_family = socket.AF_INET6


def check_port(host: str, port: int) -> None:
    """Find out whether somebody listens on the port, who would share it with this process, and answer for others.

    Raises:
        OSError: Somebody does, or the port cannot be had for another reason.
    """
    with socket.socket(_kind(host).address_family) as alone:  # without SO_REUSEPORT
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that have ended do not count
        try:
            alone.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise OSError("another service has it, or the shop with another TMPDIR") from error
            raise


def listen(slot: Slot, host: str, port: int) -> None:
    """Answer for as long as the process lives.

    Raises:
        OSError: The port is another service's.
    """
    registry = CollectorRegistry()
    registry.register(Everybody(slot))
    server = _kind(host)((host, port), _Handler)
    server.set_app(make_wsgi_app(registry))
    Thread(target=server.serve_forever, name="metrics", daemon=True).start()


def _kind(host: str) -> type[_Server]:
    return _IPv6Server if ipaddress.ip_address(host).version == 6 else _Server
