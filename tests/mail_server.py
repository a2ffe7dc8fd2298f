"""A real mail server for tests, on a port of its own: it keeps what it takes, and fails as a test asks for."""

import logging
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as POLICY
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from tests.support import free_port

logging.getLogger("mail.log").setLevel(logging.WARNING)  # of aiosmtpd: a line for each connection

USER, PASSWORD = "shop@example.com", "hunter2/@%"

Answer = Callable[[str], str | None]
"""What the server answers to an address; `None` where it takes it."""


class Handler:
    """What the server does with each mail."""

    def __init__(self) -> None:
        self.taken: list[EmailMessage] = []
        self.envelopes: list[tuple[str, list[str]]] = []
        self.refuse_recipient: Answer = lambda _: None
        self.refuse_sender: Answer = lambda _: None
        self.refuse_data: Answer = lambda _: None
        self.drops = 0
        """How many connections it drops when it has the whole mail, before it says so."""

    async def handle_MAIL(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if refusal := self.refuse_sender(address):
            return refusal
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if refusal := self.refuse_recipient(address):
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.drops:
            self.drops -= 1
            server.transport.abort()
            return "421 gone"
        if refusal := self.refuse_data(envelope.rcpt_tos[0]):
            return refusal
        message = message_from_bytes(envelope.original_content, _class=EmailMessage, policy=POLICY)
        self.taken.append(message)
        self.envelopes.append((envelope.mail_from, envelope.rcpt_tos))
        return "250 OK"


class MailServer(Handler):
    """The handler, and where the server listens."""

    def __init__(self) -> None:
        super().__init__()
        self.port = 0
        self.parameters = "?starttls=no"
        self.login = ""
        self.scheme = "smtp"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.login}127.0.0.1:{self.port}{self.parameters}"

    def texts(self) -> list[str]:
        """The words of each mail."""
        return [text_of(each) for each in self.taken]


@contextmanager
def serving(server: MailServer | None = None, **options: Any) -> Iterator[MailServer]:
    """Serve until the end of the block. `options` are those of aiosmtpd."""
    server = server or MailServer()
    server.port = server.port or free_port()
    controller = Controller(server, hostname="127.0.0.1", port=server.port, **options)
    controller.start()
    try:
        yield server
    finally:
        controller.stop()


@contextmanager
def serving_with_login(certificates: Path, **options: Any) -> Iterator[MailServer]:
    """As those of hosting companies: STARTTLS is demanded, and then a login."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")

    def check(server: SMTP, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        right = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=right, handled=right)  # of a wrong one, the server says so

    defaults = {"tls_context": context, "require_starttls": True, "authenticator": check, "auth_required": True}
    server = MailServer()
    server.login = "shop%40example.com:hunter2%2F%40%25@"
    server.parameters = f"?ca={certificates / 'server.pem'}"
    with serving(server, **{**defaults, **options}) as served:
        yield served


def make_certificates(folder: Path) -> Path:
    """The key and the certificate of a server at 127.0.0.1, which signs itself."""
    subprocess.run(
        [
            *["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"],
            *["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "server.key", "-out", "server.pem"],
        ],
        cwd=folder,
        check=True,
        capture_output=True,
        timeout=60,
    )
    return folder


def text_of(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")
