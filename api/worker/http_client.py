"""How the shop calls servers of others: briefly, straight, and only where it may.

The address of each connection is looked at when its socket is made. So a name that leads elsewhere at the next look
(DNS rebinding) gets nobody in, and neither does a redirect, because none is followed.
"""

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from aiohttp import (
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    TCPConnector,
)
from aiohttp.abc import AbstractResolver
from yarl import URL

from api.worker.addresses import is_public

CONNECT_TIMEOUT, TOTAL_TIMEOUT = 5.0, 15.0
"""Seconds until a connection is open, and until the head of the answer is there."""

MAX_ANSWER, ANSWER_TIMEOUT = 16_384, 1.0
"""Bytes of an answer's body that are read, and seconds for it, so that the connection can be used again. Nobody looks
at them: the status has said it all."""

MAX_CONNECTIONS = 100
"""More than one worker sends at once."""


class PrivateAddress(OSError):
    """The name of a host leads to an address that the shop does not call."""


class NoAnswer(Exception):
    """A request had no answer; the text says why."""


@dataclass(frozen=True)
class Answer:
    status: int
    retry_after: str | None


class HttpClient:
    """Connections that stay open between two calls."""

    def __init__(self, *, to_private_addresses: bool, resolver: AbstractResolver | None = None) -> None:
        self._to_private_addresses = to_private_addresses
        self._resolver = resolver
        self._session: ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.close()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """
        Raises:
            NoAnswer: There was none.
        """
        try:
            async with asyncio.timeout(TOTAL_TIMEOUT):
                response = await self._opened().post(
                    URL(url, encoded=True), data=body, headers=headers, allow_redirects=False
                )
        except ClientConnectorError as error:
            raise NoAnswer(_why_not_connected(error)) from error
        except ConnectionTimeoutError as error:
            raise NoAnswer(f"It could not be connected to within {CONNECT_TIMEOUT:g} seconds.") from error
        except TimeoutError as error:
            raise NoAnswer(f"It did not answer within {TOTAL_TIMEOUT:g} seconds.") from error
        except (ClientError, ValueError, OSError) as error:
            raise NoAnswer(f"The connection failed: {str(error) or type(error).__name__}") from error
        await _read_some(response)
        return Answer(response.status, response.headers.get("Retry-After"))

    def _opened(self) -> ClientSession:
        """The session, which belongs to the event loop that uses it first."""
        if self._session is None:
            connector = TCPConnector(
                limit=MAX_CONNECTIONS,
                resolver=self._resolver,
                use_dns_cache=False,
                socket_factory=self._socket,
            )
            self._session = ClientSession(
                connector=connector,
                timeout=ClientTimeout(total=TOTAL_TIMEOUT + ANSWER_TIMEOUT, sock_connect=CONNECT_TIMEOUT),
                cookie_jar=DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,  # neither a proxy nor a password of the environment
            )
        return self._session

    def _socket(self, address: Any) -> socket.socket:
        """The socket of a connection to be made.

        Raises:
            PrivateAddress: Its address is none of the public internet.
        """
        family, kind, protocol, _, where = address
        if not (self._to_private_addresses or is_public(where[0])):
            raise PrivateAddress("Its host leads to an address that is not public.")
        return socket.socket(family, kind, protocol)


async def _read_some(response: ClientResponse) -> None:
    """The status has said it all, so that nothing of the body makes an answer a failure."""
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT):
            await response.content.readexactly(MAX_ANSWER + 1)
    except (asyncio.IncompleteReadError, ClientError, TimeoutError, OSError):
        pass
    finally:
        response.close()  # which leaves a connection open whose answer was read to its end


def _why_not_connected(error: ClientConnectorError) -> str:
    cause = error.os_error
    if isinstance(cause, PrivateAddress):
        return str(cause)
    return f"It could not be connected to: {cause.strerror or str(cause) or type(cause).__name__}"
