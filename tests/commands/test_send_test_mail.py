"""`python -m api send-test-mail`: one line says what became of the mail."""

import gc
from pathlib import Path

import pytest

from api import __main__ as cli
from api.settings import get_settings
from tests.mail_server import PASSWORD, MailServer, make_certificates, serving, serving_with_login
from tests.support import free_port

pytestmark = pytest.mark.usefixtures("environment")


def send(environment: pytest.MonkeyPatch, server: MailServer | None, address: str = "john@example.com") -> int:
    if server is not None:
        environment.setenv("SMTP_URL", server.url)
        environment.setenv("MAIL_FROM", "Shop <shop@example.com>")
    get_settings.cache_clear()
    return cli.main(["send-test-mail", address])


def test_a_mail_that_is_taken(environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as server:
        assert send(environment, server) == 0
    told = f"127.0.0.1:{server.port} took a mail from shop@example.com. Look whether it arrives.\n"
    assert capsys.readouterr().out == told
    assert server.taken[0]["To"] == "john@example.com"


def test_a_mail_by_a_login(environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with serving_with_login(make_certificates(tmp_path)) as server:
        assert send(environment, server) == 0
        server.login = server.login.replace("hunter2", "hunter3")
        assert send(environment, server) == 1
    # The loop may end before a socket of TLS is closed, of which pytest tells: here, and not in the next test.
    gc.collect()
    printed = capsys.readouterr().err
    assert PASSWORD not in printed
    error = "".join(line for line in printed.splitlines(keepends=True) if line.startswith("error: "))
    assert error == f"error: the mail server 127.0.0.1:{server.port} refuses the login of SMTP_URL (535)\n"


def test_what_is_wrong_is_one_line(environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert send(environment, None) == 1
    assert capsys.readouterr().err == "error: SMTP_URL is not set, so the shop sends no mail\n"
    server = MailServer()
    server.port = free_port()
    assert send(environment, server) == 1
    assert capsys.readouterr().err.startswith(f"error: the mail server 127.0.0.1:{server.port} cannot be reached: ")
    assert send(environment, server, "nobody") == 1
    assert capsys.readouterr().err == "error: It is no address that mail can be sent to.\n"
    with serving(server) as server:
        server.refuse_recipient = lambda _: "550 no such user"
        assert send(environment, server) == 1
    assert capsys.readouterr().err == "error: The mail server said 550 no such user\n"
