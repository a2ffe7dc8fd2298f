"""A mail as it goes over the wire: RFC 5322 and MIME, from what was rendered."""

from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import make_msgid

from email_validator import EmailNotValidError, validate_email

from api.mail.rendering import Rendered
from api.models.mail import Mail


class BadAddress(Exception):
    """An address to which nothing can be sent."""


def address_for(email: str) -> Address:
    """An address as servers take it: a domain beyond ASCII in Punycode. What stands before it may need SMTPUTF8.

    Raises:
        BadAddress: An older release stored what is none.
    """
    try:
        found = validate_email(email, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        raise BadAddress("It is no address that mail can be sent to.") from None
    return Address("", found.local_part, found.ascii_domain)


def message_of(mail: Mail, to: Address, sender: Address, rendered: Rendered) -> EmailMessage:
    """The whole mail. Its `Message-ID` is that of the row, so that one that comes twice can be told."""
    message = _headed(to, sender, rendered.subject, message_id_of(mail, sender))
    message.set_content(rendered.text)
    message.add_alternative(rendered.html, subtype="html")
    return message


def trial_message(to: Address, sender: Address, shop: str) -> EmailMessage:
    """A mail that says only that it came."""
    message = _headed(to, sender, f"A test from {shop}", make_msgid(domain=sender.domain))
    message.set_content(f"{shop} can send mail.\n")
    return message


def _headed(to: Address, sender: Address, subject: str, message_id: str) -> EmailMessage:
    message = EmailMessage(policy=SMTP if to.addr_spec.isascii() else SMTPUTF8)
    message["From"] = sender
    message["To"] = to
    message["Subject"] = subject
    message["Date"] = datetime.now(UTC)
    message["Message-ID"] = message_id
    message["Auto-Submitted"] = "auto-generated"
    return message


def message_id_of(mail: Mail, sender: Address) -> str:
    """The time keeps apart two databases of a shop that send from one domain."""
    return f"<{mail.id}.{mail.created_at:%Y%m%d%H%M%S%f}@{sender.domain}>"
