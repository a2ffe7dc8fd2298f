"""The sockets that `python -m api` listens on: addresses, names and sockets of a proxy, as HOST and PORT say."""

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from api.commands.command import CommandFailed

BACKLOG = 2_048
"""Connections that wait to be accepted; uvicorn's own default."""

UNIX = "unix:"

ANYBODY = 0o666
"""A proxy runs as another user; who may reach the socket is said by the permissions of its folder."""

NOT_HERE = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
"""This computer has no such address; of a name that has others too, these are enough."""


@contextmanager
def listening(hosts: str, port: int) -> Iterator[list[socket.socket]]:
    """Take all addresses before anything else is done. Port 0 is any that is free, the same for all of them.

    Raises:
        CommandFailed: One of them cannot be taken.
    """
    with ExitStack() as stack:
        listeners: list[socket.socket] = []
        for host in (each.strip() for each in hosts.split(",") if each.strip()):
            try:
                if host.startswith(UNIX):
                    opened = [stack.enter_context(_unix_socket(Path(host.removeprefix(UNIX))))]
                else:
                    opened = [stack.enter_context(each) for each in _internet_sockets(host.strip("[]"), hosts, port)]
            except OSError as error:
                reason = str(error.strerror or error).partition(" (")[0]
                place = host if host.startswith(UNIX) else f"{host} port {port}"
                raise CommandFailed(f"cannot listen on {place}: {reason}") from error
            listeners += opened
            port = next((each.getsockname()[1] for each in opened if each.family != socket.AF_UNIX), port)
        yield listeners


def _internet_sockets(host: str, hosts: str, port: int) -> Iterator[socket.socket]:
    """One for each address of a host; `::` takes IPv4 too, unless HOST has addresses of that."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    addresses = list(dict.fromkeys((family, str(address[0])) for family, *_, address in found))
    both = host == "::" and "." not in hosts and socket.has_dualstack_ipv6()
    missing: OSError | None = None
    taken = 0
    for family, address in sorted(addresses):  # IPv4 first: a browser that is given its address needs no IPv6
        try:
            listener = socket.create_server((address, port), family=family, backlog=BACKLOG, dualstack_ipv6=both)
        except OSError as error:
            if error.errno not in NOT_HERE:
                raise
            missing = error
            continue
        taken += 1
        port = listener.getsockname()[1]
        yield listener
    if missing and not taken:
        raise missing


@contextmanager
def _unix_socket(path: Path) -> Iterator[socket.socket]:
    """A socket in the file system, in the place of one whose server is gone. It is removed at the end."""
    if path.is_socket() and not _is_served(path):
        path.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        try:
            path.chmod(ANYBODY)
            listener.listen(BACKLOG)
            yield listener
        finally:
            path.unlink(missing_ok=True)


def _is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except ConnectionRefusedError:
            return False
    return True


def name_of(listener: socket.socket) -> str:
    """What a socket listens on, as a URL."""
    if listener.family == socket.AF_UNIX:
        return f"{UNIX}{listener.getsockname()}"
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def url_for_browsers(listeners: list[socket.socket]) -> str | None:
    """The address that a browser on this computer opens; `None` where there are sockets for a proxy alone."""
    for listener in listeners:
        if listener.family != socket.AF_UNIX:
            host, port = listener.getsockname()[:2]
            return f"http://localhost:{port}" if host in ("0.0.0.0", "::") else name_of(listener)  # noqa: S104
    return None
