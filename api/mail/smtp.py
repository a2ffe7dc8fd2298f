"""Sending one mail to the mail server, and what a failure of that means: for this mail, or for all.

MailFailure
├── Refused      this mail is never taken, such as where its address does not exist
├── Delayed      this mail may be taken later
└── ServerDown   no mail is taken at present: nobody answers, or the login is wrong
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.headerregistry import Address
from email.message import EmailMessage
from ssl import SSLError

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPException,
    SMTPNotSupported,
    SMTPRecipientsRefused,
    SMTPResponseException,
    SMTPSenderRefused,
)

from api.mail_settings import Security, SmtpServer

logger = logging.getLogger(__name__)

STEP_TIMEOUT = 20
"""Seconds for each answer of the server. RFC 5321 allows it minutes, in which others of the queue would wait."""

PERMANENT = 500
"""Replies from here on are permanent (RFC 5321, section 4.2.1)."""

OF_THIS_MAIL = re.compile(r"5\.(1\.[1-6]|1\.10|2\.|3\.4|6\.)")
"""Codes that mean the address, its mailbox, or what the mail contains (RFC 3463, RFC 7505). Others, such as 5.7.1, also
come where the server does not relay for the shop, or has had enough of it for today."""

WITHOUT_MAILBOX = (550, 551, 552, 553, 554)
"""Replies that mean the same where a server gives no such code."""

ENHANCED = re.compile(r"5\.\d{1,3}\.\d{1,3}\b")

NOT_OFFERED = {
    "STARTTLS": "does not offer STARTTLS, which SMTP_URL demands",
    "AUTH": "does not offer the login of SMTP_URL",
}
"""What to say where the library says that an extension is not supported; `tests/mail/test_smtp.py` holds its words."""


class MailFailure(Exception):
    """Why a mail could not be sent, in one line without secrets of the shop's own."""


class Refused(MailFailure):
    pass


class Delayed(MailFailure):
    pass


class ServerDown(MailFailure):
    pass


async def send(server: SmtpServer, message: EmailMessage, *, sender: Address, to: str) -> None:
    """Hand a mail to the server, on a connection of its own.

    Raises:
        Delayed: The server does not take it now, or the connection broke, so that nobody knows.
        Refused: The server never takes it.
        ServerDown: The server takes no mail now.
    """
    client = SMTP(
        hostname=server.host,
        port=server.port,
        username=server.username,
        password=server.password,
        local_hostname=sender.domain,
        timeout=STEP_TIMEOUT,
        use_tls=server.security is Security.TLS,
        start_tls=server.security is Security.STARTTLS,
        tls_context=None if server.security is Security.NONE else server.tls_context(),
    )
    with _failure_of_all(server):
        await client.connect()
    try:
        with _failure_of_one():
            await client.send_message(message, sender=sender.addr_spec, recipients=[to])
        with suppress(SMTPException, OSError):  # it has the mail
            await client.quit()
    finally:
        client.close()


@contextmanager
def _failure_of_all(server: SmtpServer) -> Iterator[None]:
    place = f"the mail server {server.host}:{server.port}"
    try:
        yield
    except SMTPAuthenticationError as error:
        raise ServerDown(f"{place} refuses the login of SMTP_URL ({error.code})") from error
    except SSLError as error:
        raise ServerDown(f"{place} has no certificate that can be trusted: {error.reason or error}") from error
    except SMTPResponseException as error:
        raise ServerDown(f"{place} takes no mail: {_reply(error)}") from error
    except (SMTPException, OSError) as error:
        missing = next((words for name, words in NOT_OFFERED.items() if f"{name} extension" in str(error)), None)
        raise ServerDown(f"{place} {missing or f'cannot be reached: {_words(error)}'}") from error


@contextmanager
def _failure_of_one() -> Iterator[None]:
    try:
        yield
    except SMTPSenderRefused as error:
        raise ServerDown(f"the mail server refuses the sender of MAIL_FROM: {_reply(error)}") from error
    except SMTPRecipientsRefused as error:
        _raise_by_code(error.recipients[0])
    except SMTPResponseException as error:
        _raise_by_code(error)
    except SMTPNotSupported as error:
        raise Refused("The mail server does not take addresses beyond ASCII.") from error
    except ValueError as error:
        raise Refused("The mail server's library does not take this address.") from error
    except (SMTPException, OSError) as error:
        raise Delayed(f"The connection broke: {_words(error)}") from error


def _raise_by_code(error: SMTPResponseException) -> None:
    if error.code >= PERMANENT and not _means_this_mail(error):
        logger.error("The mail server refuses a mail, perhaps as it is set up: %s", _reply(error))
    kind = Refused if error.code >= PERMANENT and _means_this_mail(error) else Delayed
    raise kind(f"The mail server said {_reply(error)}") from error


def _means_this_mail(error: SMTPResponseException) -> bool:
    said = error.message.strip()
    code = ENHANCED.match(said)
    if code is None:
        return error.code in WITHOUT_MAILBOX and "relay" not in said.lower()
    return OF_THIS_MAIL.match(code.group()) is not None


def _reply(error: SMTPResponseException) -> str:
    return " ".join(f"{error.code} {error.message}".split())[:400]


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:400] or type(error).__name__
