"""Sending a mail to a real server: what it takes, and what each failure means."""

import ssl
from email.headerregistry import Address
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from api.mail.messages import address_for, trial_message
from api.mail.smtp import Delayed, MailFailure, Refused, ServerDown, send
from api.mail_settings import parse_smtp_url
from tests.mail_server import PASSWORD, MailServer, serving, serving_with_login
from tests.support import free_port

SENDER = Address("Käse & Co", "shop", "example.com")


async def mail_to(url: str, to: str = "john@example.com") -> EmailMessage:
    address = address_for(to)
    message = trial_message(address, SENDER, "Shop")
    await send(parse_smtp_url(url), message, sender=SENDER, to=address.addr_spec)
    return message


async def failure_of(url: str, to: str = "john@example.com") -> MailFailure:
    with pytest.raises(MailFailure) as failure:
        await mail_to(url, to)
    assert PASSWORD not in str(failure.value)
    assert "\n" not in str(failure.value)
    return failure.value


class TestTaken:
    async def test_a_mail_comes_as_it_was_made(self) -> None:
        with serving() as server:
            sent = await mail_to(server.url)
        (mail,) = server.taken
        assert server.envelopes == [("shop@example.com", ["john@example.com"])]
        assert (mail["To"], mail["Subject"], mail["Auto-Submitted"]) == (
            "john@example.com",
            "A test from Shop",
            "auto-generated",
        )
        assert mail["Message-ID"] == sent["Message-ID"]
        assert mail["From"].addresses[0] == SENDER
        assert mail["Date"].datetime.tzinfo is not None
        assert server.texts() == ["Shop can send mail.\n"]

    async def test_a_server_with_starttls_and_a_login_takes_it(self, certificates: Path) -> None:
        with serving_with_login(certificates) as server:
            await mail_to(server.url)
        assert len(server.taken) == 1

    async def test_a_server_with_tls_from_the_first_byte_takes_it(self, certificates: Path) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
        with serving(ssl_context=context) as server:
            server.scheme, server.parameters = "smtps", f"?ca={certificates / 'server.pem'}"
            await mail_to(server.url)
        assert len(server.taken) == 1

    async def test_a_domain_beyond_ascii_is_sent_in_punycode(self) -> None:
        with serving() as server:
            await mail_to(server.url, "john@bücher.example")
        assert server.envelopes == [("shop@example.com", ["john@xn--bcher-kva.example"])]
        assert server.taken[0]["To"] == "john@xn--bcher-kva.example"

    async def test_a_name_beyond_ascii_goes_to_a_server_that_takes_such(self) -> None:
        with serving(enable_SMTPUTF8=True) as server:
            await mail_to(server.url, "jörg@example.com")
        assert server.envelopes == [("shop@example.com", ["jörg@example.com"])]

    async def test_a_name_beyond_ascii_is_refused_where_the_server_takes_none(self) -> None:
        with serving(enable_SMTPUTF8=False) as server:
            failure = await failure_of(server.url, "jörg@example.com")
        assert isinstance(failure, Refused)
        assert "beyond ASCII" in str(failure)


class TestOneMail:
    @pytest.mark.parametrize(
        ("hook", "reply", "kind"),
        [
            ("refuse_recipient", "550 5.1.1 no such user", Refused),
            ("refuse_recipient", "450 4.2.1 come again", Delayed),
            ("refuse_recipient", "550 no such user", Refused),
            ("refuse_recipient", "556 5.1.10 takes no mail", Refused),
            ("refuse_recipient", "552 5.2.2 mailbox full", Refused),
            ("refuse_recipient", "554 5.7.1 <somebody@example.com>: Relay access denied", Delayed),
            ("refuse_recipient", "550 relay not permitted", Delayed),
            ("refuse_recipient", "550 5.4.5 Daily sending quota exceeded", Delayed),
            ("refuse_recipient", "530 5.7.0 Authentication required", Delayed),
            ("refuse_data", "552 5.3.4 too large", Refused),
            ("refuse_data", "554 5.7.1 looks like spam", Delayed),
            ("refuse_data", "451 4.3.0 disk is full", Delayed),
            ("refuse_sender", "553 5.7.1 not yours", ServerDown),
        ],
    )
    async def test_a_refusal_is_permanent_or_not_by_its_code(
        self, hook: str, reply: str, kind: type[MailFailure]
    ) -> None:
        """A server that does not relay for the shop says so where it is told of the receiver, and means the shop."""
        with serving() as server:
            setattr(server, hook, lambda _: reply)
            failure = await failure_of(server.url)
        assert type(failure) is kind
        assert reply in str(failure)
        assert server.taken == []

    async def test_a_connection_that_breaks_in_the_midst_is_tried_again(self) -> None:
        with serving() as server:
            server.drops = 1
            assert isinstance(await failure_of(server.url), Delayed)
            await mail_to(server.url)
        assert len(server.taken) == 1


class TestNoMail:
    """The server takes none at all: one line says why."""

    async def test_nobody_answers(self) -> None:
        port = free_port()
        failure = await failure_of(f"smtp://127.0.0.1:{port}?starttls=no")
        assert isinstance(failure, ServerDown)
        assert str(failure).startswith(f"the mail server 127.0.0.1:{port} cannot be reached: ")

    async def test_the_name_of_the_server_is_unknown(self) -> None:
        failure = await failure_of("smtp://no-such-host.invalid")
        assert isinstance(failure, ServerDown)
        assert "no-such-host.invalid:587 cannot be reached" in str(failure)

    async def test_the_login_is_wrong(self, certificates: Path) -> None:
        with serving_with_login(certificates) as server:
            server.login = "shop%40example.com:wrong@"
            failure = await failure_of(server.url)
        assert isinstance(failure, ServerDown)
        assert str(failure).endswith("refuses the login of SMTP_URL (535)")

    async def test_the_login_is_missing(self, certificates: Path) -> None:
        with serving_with_login(certificates) as server:
            server.login = ""
            assert isinstance(await failure_of(server.url), ServerDown)

    async def test_starttls_is_demanded_and_not_offered(self) -> None:
        with serving() as server:
            server.parameters = ""
            failure = await failure_of(server.url)
        assert isinstance(failure, ServerDown)
        assert "does not offer STARTTLS, which SMTP_URL demands" in str(failure)
        assert server.taken == []

    async def test_a_login_is_not_offered(self) -> None:
        with serving() as server:
            server.login = "shop:hunter2@"
            failure = await failure_of(server.url)
        assert isinstance(failure, ServerDown)
        assert "does not offer the login of SMTP_URL" in str(failure)

    async def test_the_certificate_is_nobodys(self, certificates: Path) -> None:
        with serving_with_login(certificates) as server:
            server.parameters = ""
            failure = await failure_of(server.url)
        assert isinstance(failure, ServerDown)
        assert "has no certificate that can be trusted" in str(failure)
        assert server.taken == []


async def test_no_failure_leaves_a_connection_open(certificates: Path, recwarn: Any) -> None:
    servers: list[MailServer] = []
    with serving_with_login(certificates) as server:
        server.login = "shop:wrong@"
        servers.append(server)
        await failure_of(server.url)
    assert [str(each.message) for each in recwarn if each.category is ResourceWarning] == []
