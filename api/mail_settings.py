"""The settings of mail: the server that takes it, whom it comes from, and where its links lead.

No refusal repeats a value, because the URL of a server holds a password.
"""

import ssl
from dataclasses import dataclass, field
from email.errors import MessageError
from email.headerregistry import Address, AddressHeader, Group
from email.policy import SMTP
from enum import StrEnum
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from email_validator import EmailNotValidError, validate_email
from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings

DEFAULT_PORTS = {"smtp": 587, "smtps": 465}
"""RFC 6409 and RFC 8314."""

PARAMETERS = ("starttls", "ca")

Url = Annotated[str, Field(max_length=2_000)]

Attempts = Annotated[int, Field(ge=1, le=1_000_000)]
"""How often something may be tried within a quarter of an hour."""


class Security(StrEnum):
    """How a connection to the mail server is kept secret."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


@dataclass(frozen=True)
class SmtpServer:
    """The server that takes the mail. Its login is in no `repr`."""

    host: str
    port: int
    security: Security
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    ca: str | None = None
    """A file of certificates to check the server's by, in place of the computer's own."""

    @property
    def is_local(self) -> bool:
        """Whether what is sent stays on this computer."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def tls_context(self) -> ssl.SSLContext:
        """Made once: reading the certificates of all authorities takes 25 ms, in which no request is answered."""
        return _tls_context(self.ca)


@cache
def _tls_context(ca: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca)


def parse_smtp_url(value: str) -> SmtpServer:
    """
    Raises:
        ValueError: It is no URL of a mail server.
    """
    try:
        url = urlsplit(value)
        port = url.port
    except ValueError:  # a port that is no number
        raise ValueError("is not the URL of a mail server such as smtp://user:password@host:587") from None
    if url.scheme not in DEFAULT_PORTS or not url.hostname or url.path not in ("", "/") or url.fragment:
        raise ValueError("is not the URL of a mail server such as smtp://user:password@host:587")
    if (url.username is None) != (url.password is None):
        raise ValueError("must have both a user and a password, or neither; write @ as %40 and : as %3A")
    parameters = _parameters(url)
    security = Security.TLS if url.scheme == "smtps" else Security.STARTTLS
    if parameters.get("starttls") == "no":
        security = Security.NONE
    return SmtpServer(
        host=url.hostname,
        port=port or DEFAULT_PORTS[url.scheme],
        security=security,
        username=None if url.username is None else unquote(url.username),
        password=None if url.password is None else unquote(url.password),
        ca=parameters.get("ca"),
    )


def _parameters(url: SplitResult) -> dict[str, str]:
    found = dict(parse_qsl(url.query, keep_blank_values=True))
    for name in found:
        if name not in PARAMETERS:
            raise ValueError("has a parameter that is not known: there are starttls=no, and ca, which is a file")
    if "starttls" in found and (url.scheme != "smtp" or found["starttls"] != "no"):
        raise ValueError("has the parameter starttls, which can only be starttls=no, of smtp://")
    if "ca" in found:
        try:
            ssl.create_default_context(cafile=found["ca"])
        except (OSError, ssl.SSLError):
            raise ValueError("has the parameter ca, which is not a file of certificates that can be read") from None
    return found


def parse_sender(value: str) -> Address:
    """
    Raises:
        ValueError: It is not one address, with or without a name.
    """
    refusal = "is not an address such as shop@example.com or My Shop <shop@example.com>"
    try:
        header = SMTP.header_factory("From", value)
    except (MessageError, ValueError, IndexError):  # a line break
        raise ValueError(refusal) from None
    groups: tuple[Group, ...] = header.groups if isinstance(header, AddressHeader) else ()
    if len(groups) != 1 or groups[0].display_name is not None or len(groups[0].addresses) != 1 or header.defects:
        raise ValueError(refusal)
    (address,) = groups[0].addresses
    try:
        known = validate_email(address.addr_spec, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        raise ValueError(refusal) from None
    return Address(address.display_name, known.local_part, known.ascii_domain)


class MailSettings(BaseSettings):
    """Part of `Settings`."""

    smtp_url: Url | None = None
    mail_from: Annotated[str, Field(max_length=400)] | None = None
    public_url: Url = "http://127.0.0.1:8000"
    password_reset_url: Url | None = None
    mail_templates: Path | None = None
    confirm_registrations: bool = False
    registrations_per_email: Attempts = 5  # more than anybody needs who finds no mail and tries again

    @field_validator("smtp_url")
    @classmethod
    def _known_server(cls, value: str | None) -> str | None:
        if value is not None:
            parse_smtp_url(value)
        return value

    @field_validator("mail_from")
    @classmethod
    def _one_sender(cls, value: str | None) -> str | None:
        if value is not None:
            parse_sender(value)
        return value

    @field_validator("public_url", "password_reset_url")
    @classmethod
    def _web_page(cls, value: str | None) -> str | None:
        if value is None:
            return None
        try:
            url = urlsplit(value)
            is_page = url.scheme in ("http", "https") and bool(url.hostname) and (url.port or True)
        except ValueError:
            is_page = False
        if not is_page or url.username is not None or url.query or url.fragment or not value.isprintable():
            raise ValueError("is not the address of a page such as https://shop.example.com")
        return value.rstrip("/")

    @field_validator("mail_templates")
    @classmethod
    def _folder(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_dir():
            raise ValueError("is not a folder")
        return value

    @model_validator(mode="after")
    def _sender_of_mail(self) -> Self:
        if self.smtp_url is not None and self.mail_from is None:
            raise ValueError("MAIL_FROM must be set where SMTP_URL is: it is the address that mail comes from")
        return self

    @property
    def unsafe_mail(self) -> list[str]:
        """What must not be so in production."""
        server = self.smtp_server
        if server is None:
            needs = "CONFIRM_REGISTRATIONS needs SMTP_URL: without mail nobody could confirm one"
            return [needs] if self.confirm_registrations else []
        unsafe = {
            "PUBLIC_URL must begin with https://: mail has links with secrets": (
                not self.public_url.startswith("https://")
            ),
            "PASSWORD_RESET_URL must begin with https://": (
                self.password_reset_url is not None and not self.password_reset_url.startswith("https://")
            ),
            "SMTP_URL must not have starttls=no: anyone between could read the mail": (
                server.security is Security.NONE and not server.is_local
            ),
        }
        return [what for what, is_so in unsafe.items() if is_so]

    @property
    def smtp_server(self) -> SmtpServer | None:
        """The server that takes the mail; `None` where the shop sends none."""
        return None if self.smtp_url is None else parse_smtp_url(self.smtp_url)

    @property
    def sender(self) -> Address:
        """Whom mail comes from. Where it is only shown, an address that is nobody's (RFC 2606)."""
        return Address("Shop", "shop", "example.com") if self.mail_from is None else parse_sender(self.mail_from)

    @property
    def confirms_addresses(self) -> bool:
        """Whether a new address counts only once its mail was read: where mail is sent, and not only shown."""
        return self.smtp_url is not None
