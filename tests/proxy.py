"""A TCP proxy in front of a database server, which can do to connections what networks do to them."""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import URL

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER by which a close is a reset."""


PORTS = {"postgresql": 5432, "mysql": 3306, "mariadb": 3306}

Change = Callable[[asyncio.StreamWriter], object]


class Proxy:
    """Runs in a thread of its own, because a test may block its event loop."""

    def __init__(self, server: URL) -> None:
        self._target = (server.host or "127.0.0.1", server.port or PORTS[server.get_backend_name()])
        self._loop = asyncio.new_event_loop()
        self._clients: list[asyncio.StreamWriter] = []
        self._silent: set[asyncio.StreamWriter] = set()
        self.port = 0

    def close_all(self) -> None:
        """End every open connection in order, as a server does that shuts down."""
        self._for_each(lambda client: client.close())

    def reset_all(self) -> None:
        """Break every open connection off, as a host does that has restarted."""

        def reset(client: asyncio.StreamWriter) -> None:
            client.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            client.transport.abort()

        self._for_each(reset)

    def silence_all(self) -> None:
        """Swallow what comes on every open connection, as a firewall does that has forgotten them."""
        self._for_each(self._silent.add)

    def _for_each(self, do: Change) -> None:
        done = threading.Event()

        def run() -> None:
            for client in self._clients:
                do(client)
            self._clients.clear()
            done.set()

        self._loop.call_soon_threadsafe(run)
        assert done.wait(5)

    async def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self._clients.append(client)
        try:
            from_server, server = await asyncio.open_connection(*self._target)
            try:
                both = (self._copy(reader, server, client), self._copy(from_server, client, client))
                await asyncio.gather(*both, return_exceptions=True)
            finally:
                server.close()
        except ConnectionError:  # the server is gone
            return
        finally:
            client.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, of: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            if of not in self._silent:
                writer.write(data)
                await writer.drain()
        writer.close()

    def run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.1))  # in which they close their sockets
        self._loop.close()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)


@contextmanager
def proxy_of(server: URL) -> Iterator[Proxy]:
    proxy, started = Proxy(server), threading.Event()
    thread = threading.Thread(target=proxy.run, args=(started,), daemon=True)
    thread.start()
    assert started.wait(5)
    try:
        yield proxy
    finally:
        proxy.stop()
        thread.join(5)
