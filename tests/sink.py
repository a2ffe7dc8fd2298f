"""A receiver of webhooks: a real HTTP server that notes what it is sent, and answers as a test says."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Headers = Mapping[str, str]


@dataclass(frozen=True)
class Received:
    """One request."""

    head: str
    headers: Headers
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


Reply = Callable[[Received], bytes | Awaitable[bytes]]


def answer(status: int, *headers: str, body: bytes = b"") -> bytes:
    """An answer as it goes over the wire."""
    lines = [f"HTTP/1.1 {status} Said", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


@dataclass
class Sink:
    """What was received, and how it is answered: by default with a 204."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    reply: Reply = field(default=lambda received: answer(204))
    connections: int = 0
    taken: list[Received] = field(default_factory=list)
    """What was answered by a 2xx."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @property
    def ids(self) -> list[str]:
        return [each.id for each in self.received]

    def answers(self, status: int, *headers: str) -> None:
        self.reply = lambda received: answer(status, *headers)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await _head(reader):
                first, *lines = head.decode("latin-1").split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                received = Received(first, headers, body)
                self.received.append(received)
                replied: Any = self.reply(received)
                sent = await replied if asyncio.iscoroutine(replied) else replied
                if sent.startswith(b"HTTP/1.1 2"):
                    self.taken.append(received)
                writer.write(sent)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return (await reader.readuntil(b"\r\n\r\n"))[:-4]
    except asyncio.IncompleteReadError:
        return b""


@asynccontextmanager
async def a_sink() -> AsyncIterator[Sink]:
    sink = Sink()
    server = await asyncio.start_server(sink.serve, "127.0.0.1", 0)
    sink.port = server.sockets[0].getsockname()[1]
    try:
        yield sink
    finally:
        server.close()
