"""Calls to servers of others end in time, read little, and reach public addresses alone."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from api.worker import http_client
from api.worker.addresses import is_public
from api.worker.http_client import HttpClient, NoAnswer
from tests.sink import Received, Sink, a_sink, answer

NOT_PUBLIC = "leads to an address that is not public"


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with a_sink() as sink:
        yield sink


@pytest.fixture
async def client() -> AsyncIterator[HttpClient]:
    async with HttpClient(to_private_addresses=True) as client:
        yield client


class Changing(AbstractResolver):
    """A name server that gives another address at each look, as one does that wants to get in."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        address = self.addresses.pop(0)
        kind = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [{"hostname": host, "host": address, "port": port, "family": kind, "proto": 0, "flags": 0}]

    async def close(self) -> None:
        pass


async def post(client: HttpClient, url: str) -> Any:
    return await client.post(url, b"{}", {"Content-Type": "application/json"})


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        *((each, True) for each in ("8.8.8.8", "203.0.112.7", "2001:4860:4860::8888", "::ffff:8.8.8.8")),
        *((each, True) for each in ("64:ff9b::808:808", "2002:808:808::1")),
        *((each, False) for each in ("10.0.0.1", "172.16.0.1", "192.168.1.1", "127.0.0.1", "127.9.9.9", "0.0.0.0")),
        *((each, False) for each in ("169.254.169.254", "100.64.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255")),
        *((each, False) for each in ("192.0.0.8", "192.0.2.1", "198.18.0.1", "192.88.99.1")),
        *((each, False) for each in ("::", "::1", "::7f00:1", "fe80::1%eth0", "fc00::1", "fec0::1", "ff02::1")),
        *((each, False) for each in ("::ffff:127.0.0.1", "::ffff:a00:1", "64:ff9b::a00:1", "64:ff9b:1::808:808")),
        *((each, False) for each in ("2002:7f00:1::", "2001:0:1::1", "2001:db8::1", "3fff::1", "100::1")),
    ],
)
def test_an_address_is_public_where_the_internet_has_it(address: str, expected: bool) -> None:
    assert is_public(address) is expected


class TestPrivateAddresses:
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"])
    async def test_they_are_not_called(self, sink: Sink, host: str) -> None:
        async with HttpClient(to_private_addresses=False) as client:
            with pytest.raises(NoAnswer, match=NOT_PUBLIC):
                await post(client, f"http://{host}:{sink.port}/")
        assert sink.connections == 0

    async def test_the_address_that_is_connected_to_counts_and_no_earlier_look(self, sink: Sink) -> None:
        """A name that led to the internet a moment ago (DNS rebinding)."""
        resolver = Changing("127.0.0.1", "::1")
        async with HttpClient(to_private_addresses=False, resolver=resolver) as client:
            for _ in range(2):
                with pytest.raises(NoAnswer, match=NOT_PUBLIC):
                    await post(client, f"http://hooks.example.com:{sink.port}/")
        assert (sink.connections, resolver.addresses) == (0, [])

    async def test_a_setting_allows_them(self, sink: Sink, client: HttpClient) -> None:
        assert (await post(client, f"http://localhost:{sink.port}/")).status == 204


class TestAnswer:
    async def test_a_redirect_is_not_followed(self, sink: Sink, client: HttpClient) -> None:
        sink.answers(307, f"Location: {sink.url}/elsewhere")
        assert (await post(client, sink.url)).status == 307
        assert len(sink.received) == 1

    async def test_no_cookie_is_sent_back(self, sink: Sink, client: HttpClient) -> None:
        sink.answers(200, "Set-Cookie: a=b")
        for _ in range(2):
            await post(client, sink.url)
        assert not any("cookie" in each.headers for each in sink.received)

    async def test_a_proxy_of_the_environment_is_not_asked(
        self, sink: Sink, client: HttpClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        assert (await post(client, sink.url)).status == 204

    async def test_of_a_huge_answer_little_is_read(self, sink: Sink, client: HttpClient) -> None:
        sink.reply = lambda received: answer(200, body=b"x" * 50_000_000)
        async with asyncio.timeout(10):
            assert (await post(client, sink.url)).status == 200

    async def test_an_answer_whose_body_does_not_end_counts_by_its_status(
        self, sink: Sink, client: HttpClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(http_client, "ANSWER_TIMEOUT", 0.05)
        sink.reply = lambda received: b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx"
        assert (await post(client, sink.url)).status == 200

    async def test_a_body_that_comes_after_the_time_for_an_answer_makes_it_no_failure(
        self, sink: Sink, client: HttpClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Otherwise what was taken would be sent again."""
        monkeypatch.setattr(http_client, "TOTAL_TIMEOUT", 2.0)
        monkeypatch.setattr(http_client, "ANSWER_TIMEOUT", 3.0)

        async def late(received: Received) -> bytes:
            await asyncio.sleep(1)
            return b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx"

        sink.reply = late
        assert (await post(client, sink.url)).status == 200

    async def test_a_slow_receiver_is_left_in_time(
        self, sink: Sink, client: HttpClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def sleep(received: Received) -> bytes:
            await asyncio.sleep(30)
            return answer(204)

        monkeypatch.setattr(http_client, "TOTAL_TIMEOUT", 0.1)
        sink.reply = sleep
        with pytest.raises(NoAnswer, match="did not answer within"):
            await post(client, sink.url)

    @pytest.mark.parametrize("sent", [b"nonsense\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\n" + b"a: " + b"x" * 100_000])
    async def test_what_is_no_http_is_a_failure(self, sink: Sink, client: HttpClient, sent: bytes) -> None:
        async def hang_up(received: Received) -> bytes:
            raise ConnectionResetError

        sink.reply = (lambda received: sent) if sent else hang_up
        with pytest.raises(NoAnswer, match="The connection failed"):
            await post(client, sink.url)

    async def test_who_listens_nowhere_or_has_no_address_is_a_failure_that_says_so(self, client: HttpClient) -> None:
        with pytest.raises(NoAnswer, match="It could not be connected to"):
            await post(client, "http://127.0.0.1:1/")
        with pytest.raises(NoAnswer, match="It could not be connected to"):
            await post(client, "http://no-such-host.invalid/")
