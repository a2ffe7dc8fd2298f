"""Mails with a link that proves whoever follows it: the link works once, for a while, and only a hash of it is stored.

A request writes the mail; the worker makes the secret of the link when it sends the mail, and a new one each time it
has to send it again.
"""

from datetime import timedelta

from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.errors import Forbidden
from api.models.base import utcnow
from api.models.mail import Mail, MailKind
from api.models.outgoing import OutgoingStatus

LIFETIMES = {
    MailKind.PASSWORD_RESET: timedelta(minutes=30),
    MailKind.EMAIL_CONFIRMATION: timedelta(hours=24),
    MailKind.REGISTRATION: timedelta(hours=24),
}
"""How long a link works after its mail was sent: a reset is waited for, a new address may be looked at tomorrow. A
registration counts its own time, from when it was asked for."""

INVALID_LINK = "The link is invalid, has expired or was used already. Ask for a new one."


async def mail_of_link(session: AsyncSession, kind: MailKind, token_hash: str) -> Mail:
    """The mail whose link this is. Nothing is locked: `use_link` decides.

    Raises:
        Forbidden: There is none, or the link no longer works.
    """
    valid = (col(Mail.token_hash) == token_hash, col(Mail.kind) == kind, col(Mail.token_expires_at) > utcnow())
    mail = (await session.exec(select(Mail).where(*valid))).one_or_none()
    if mail is None:
        raise Forbidden(INVALID_LINK)
    return mail


async def use_link(session: AsyncSession, mail: Mail) -> None:
    """Use a link up. Of two requests at once one wins. The user is locked before.

    Raises:
        Forbidden: It was used meanwhile, or is void.
    """
    this = (col(Mail.id) == mail.id, col(Mail.token_hash) == mail.token_hash)
    if (await session.exec(update(Mail).where(*this).values(token_hash=None))).rowcount == 0:
        raise Forbidden(INVALID_LINK)


async def void_links(session: AsyncSession, user_id: int, kind: MailKind) -> None:
    """Make all links of a kind void that a user has; a mail that was not sent yet is not sent."""
    of_user = (col(Mail.user_id) == user_id, col(Mail.kind) == kind)
    waiting = (*of_user, col(Mail.status) == OutgoingStatus.PENDING)
    dropped = {"status": OutgoingStatus.FAILED, "error": "It was needed no longer.", "claim": None}
    await session.exec(update(Mail).where(*waiting).values(dropped))
    await session.exec(update(Mail).where(*of_user, col(Mail.token_hash).is_not(None)).values(token_hash=None))
