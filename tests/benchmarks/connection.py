"""A client that costs next to nothing, for it shares the machine with what it measures."""

import asyncio
import re

LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


class Connection:
    """A keep-alive connection that knows no more of HTTP than the shop's answers take.

    A request costs it some 50 us of CPU on uvloop; httpx takes nearly 900.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> "Connection":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, request: bytes) -> int:
        """The status of the answer, once all of it is there.

        Raises:
            OSError, EOFError: The connection was lost.
        """
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = LENGTH.search(head)
        assert length is not None, head
        await self._reader.readexactly(int(length[1]))
        return int(head[9:12])

    def close(self) -> None:
        self._writer.close()
