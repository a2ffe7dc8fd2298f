"""Where `python -m api` listens, how long connections stay open, and what the server itself refuses."""

import os
import re
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from api.commands.command import CommandFailed
from api.commands.listening import listening, name_of, url_for_browsers
from api.web.problems import PROBLEM_JSON
from tests.commands.support import finish, read_until, running
from tests.support import ROOT, free_port

pytestmark = pytest.mark.usefixtures("environment")


@contextmanager
def serving(environment: pytest.MonkeyPatch, **settings: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """`python -m api` with these settings, and all that it says until it has started."""
    for name, value in settings.items():
        environment.setenv(name, value)
    with running("api") as process:
        output, _ = read_until(process, "(Application startup complete)")
        assert "appears unsupported" not in output, output
        yield process, output


def raw_answer(address: tuple[str, int], request: bytes) -> tuple[bytes, dict[str, str], bytes]:
    """The status line, the headers and the content that a server sends until it closes the connection."""
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(request)
        received = b"".join(iter(lambda: connection.recv(65_536), b""))
    head, _, content = received.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    return status, {name.lower(): value for name, value in (line.decode().split(": ", 1) for line in lines)}, content


PROCFILE = ROOT / "Procfile"


def add_product_with_broken_attributes() -> None:
    """What no request can store: the JSON of an answer cannot be made of it."""
    with closing(sqlite3.connect("shop.db", isolation_level=None)) as database:
        database.execute(
            "INSERT INTO products"
            " (name, slug, sku, price, stock_quantity, is_active, attributes, created_at, updated_at)"
            " VALUES ('Odd', 'odd', 'ODD', 1, 0, 1, '{', '2026-01-01 00:00:00', '2026-01-01 00:00:00')"
        )


class TestListening:
    def test_several_addresses_share_a_port(self) -> None:
        with listening("127.0.0.1, ::1", 0) as listeners:
            ports = {each.getsockname()[1] for each in listeners}
            assert len(ports) == 1
            (port,) = ports
            assert [name_of(each) for each in listeners] == [f"http://127.0.0.1:{port}", f"http://[::1]:{port}"]

    def test_a_name_is_every_address_of_this_computer_that_it_has(self, monkeypatch: pytest.MonkeyPatch) -> None:
        addresses = [(socket.AF_INET6, "::1"), (socket.AF_INET, "203.0.113.9"), (socket.AF_INET, "127.0.0.1")]
        found = [(family, socket.SOCK_STREAM, 6, "", (address, 0)) for family, address in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: found)
        with listening("shop.example", 0) as listeners:
            assert [each.getsockname()[0] for each in listeners] == ["127.0.0.1", "::1"]

    def test_all_addresses_of_ipv6_take_ipv4_too(self) -> None:
        with listening("::", 0) as (listener,):
            port = listener.getsockname()[1]
            for host in ("127.0.0.1", "::1"):
                socket.create_connection((host, port), timeout=5).close()

    def test_all_addresses_of_both_kinds_go_together(self) -> None:
        with listening("0.0.0.0,[::]", 0) as listeners:
            assert len(listeners) == 2
            assert url_for_browsers(listeners) == f"http://localhost:{listeners[0].getsockname()[1]}"

    @pytest.mark.parametrize(
        ("host", "reason"),
        [
            ("nowhere.invalid", "cannot listen on nowhere.invalid port 0: "),
            ("203.0.113.9", "cannot listen on 203.0.113.9 port 0: Cannot assign requested address"),
            ("unix:/nowhere/shop.sock", "cannot listen on unix:/nowhere/shop.sock: No such file or directory"),
            (f"unix:/{'x' * 200}", "AF_UNIX path too long"),
        ],
    )
    def test_a_place_that_cannot_be_listened_on_is_named(self, host: str, reason: str) -> None:
        with pytest.raises(CommandFailed, match=re.escape(reason)), listening(host, 0):
            pass

    def test_a_socket_whose_server_is_gone_is_replaced_and_one_in_use_is_not(self, tmp_path: Path) -> None:
        path = tmp_path / "shop.sock"
        with socket.socket(socket.AF_UNIX) as gone:
            gone.bind(str(path))
        with listening(f"unix:{path}", 0) as (listener,):
            assert name_of(listener) == f"unix:{path}"
            assert url_for_browsers([listener]) is None
            with pytest.raises(CommandFailed, match="Address already in use"), listening(f"unix:{path}", 0):
                pass
            assert path.is_socket()
        assert not path.exists()

    def test_a_file_is_never_replaced(self, tmp_path: Path) -> None:
        file = tmp_path / "shop.db"
        file.write_text("rows")
        with pytest.raises(CommandFailed, match="Address already in use"), listening(f"unix:{file}", 0):
            pass
        assert file.read_text() == "rows"


class TestServer:
    def test_the_start_says_on_what_it_listens_and_a_proxy_reaches_it_by_a_socket(
        self, environment: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        path = tmp_path / "s.sock"
        with serving(environment, HOST=f"127.0.0.1,unix:{path}") as (process, output):
            said = re.search(rf"^Listening on (http://127\.0\.0\.1:\d+), unix:{path}$", output, re.MULTILINE)
            assert said, output
            assert httpx.get(f"{said[1]}/health").status_code == 200
            with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://shop") as proxy:
                answer = proxy.get("/health/ready", headers={"X-Forwarded-For": "192.0.2.1"})
            assert answer.status_code == 200
            code, rest = finish(process, signal.SIGTERM)
            assert code == 0
            assert re.search(r"GET /health/ready 200 .* at 192\.0\.2\.0 ", rest)
        assert not path.exists()

    @pytest.mark.parametrize("command", ["python -m api", "Procfile"])
    def test_the_server_keeps_connections_as_long_as_the_setting_says(
        self, command: str, environment: pytest.MonkeyPatch
    ) -> None:
        port = free_port()
        environment.setenv("KEEP_ALIVE", "1")
        environment.setenv("PORT", str(port))
        web = re.search(r"^web: (.*)$", PROCFILE.read_text(), re.MULTILINE)
        assert web
        arguments = os.path.expandvars(web[1]).split()
        with running(*(["api"] if command == "python -m api" else arguments)) as process:
            read_until(process, "(Application startup complete)" if command == "python -m api" else "(Uvicorn running)")
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                sent = time.monotonic()
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: shop\r\n\r\n")
                answer = b""
                while not answer.endswith(b'{"status":"ok"}'):
                    answer += connection.recv(65_536)
                assert connection.recv(1) == b"", "the server closes the connection"
                assert 0.99 < time.monotonic() - sent < 10  # uvloop counts in whole milliseconds

    def test_the_command_of_the_procfile_takes_a_socket_in_place_of_a_port(
        self, environment: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        path = tmp_path / "s.sock"
        web = re.search(r"^web: (.*)$", PROCFILE.read_text(), re.MULTILINE)
        assert web
        command = web[1].replace("--host 0.0.0.0 --port $PORT", f"--uds {path}")
        with running(*command.split()) as process:
            read_until(process, "(Uvicorn running)")
            with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://shop") as proxy:
                assert proxy.get("/health", headers={"X-Forwarded-For": "192.0.2.1"}).status_code == 200
            _, rest = finish(process, signal.SIGTERM)
        assert re.search(r"GET /health 200 .* at 192\.0\.2\.0 ", rest)

    def test_what_is_no_http_is_refused_as_a_problem(self, environment: pytest.MonkeyPatch) -> None:
        with serving(environment) as (_, output):
            address = re.search(r"http://(127\.0\.0\.1):(\d+)/docs", output)
            assert address, output
            for request in (
                "GET /products?search=café HTTP/1.1\r\nHost: shop\r\n\r\n".encode(),
                "GET /products/by-slug/café HTTP/1.1\r\nHost: shop\r\n\r\n".encode(),
                b"nonsense\r\n\r\n",
                b"GET / HTTP/9.9\r\n\r\n",
                b"POST /users HTTP/1.1\r\nHost: shop\r\nContent-Length: x\r\n\r\n",
            ):
                status, headers, content = raw_answer((address[1], int(address[2])), request)
                assert status == b"HTTP/1.1 400 Bad Request", request
                assert headers["content-type"] == PROBLEM_JSON
                assert headers["connection"] == "close"
                assert headers["x-content-type-options"] == "nosniff"
                assert int(headers["content-length"]) == len(content)
                assert b"percent-encoded: caf%C3%A9" in content

    def test_a_connection_survives_an_internal_error(self, environment: pytest.MonkeyPatch) -> None:
        with serving(environment) as (_, output):
            address = re.search(r"http://127\.0\.0\.1:\d+", output)
            assert address, output
            with httpx.Client(base_url=address[0]) as client:
                add_product_with_broken_attributes()
                failed = client.get("/products")
                assert failed.status_code == 500
                assert failed.headers["X-Content-Type-Options"] == "nosniff"
                opened = failed.extensions["network_stream"].get_extra_info("client_addr")
                after = client.get("/health")
                assert after.extensions["network_stream"].get_extra_info("client_addr") == opened
