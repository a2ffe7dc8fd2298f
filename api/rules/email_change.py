"""A new e-mail address: it counts once its owner has confirmed it, and the old address is told."""

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.errors import Forbidden
from api.models.mail import Mail, MailKind
from api.models.user import User
from api.rules.mailed_links import INVALID_LINK, use_link, void_links


async def ask_for_email(session: AsyncSession, user: User, email: str) -> None:
    """Have a new address wait until the link in a mail to it is followed; the present one again calls that off.

    Nothing is said of whether another user has it: that is looked at when it is confirmed.
    """
    await void_links(session, user.id, MailKind.EMAIL_CONFIRMATION)
    user.pending_email = None if email == user.email else email
    if user.pending_email is not None:
        about = f"users/{user.id}/email"
        session.add(Mail(kind=MailKind.EMAIL_CONFIRMATION, user_id=user.id, about=about, address=email))


async def confirm_email(session: AsyncSession, mail: Mail) -> None:
    """Give a user the address that a link was sent to.

    Raises:
        Conflict: Another user has it by now. The database says so when it is written.
        Forbidden: The link was used meanwhile, or its user has left or chosen another address.
    """
    locked = select(User).where(col(User.id) == mail.user_id, col(User.is_active)).with_for_update()
    user = (await session.exec(locked)).one_or_none()
    if user is None or user.pending_email is None or user.pending_email != mail.address:
        raise Forbidden(INVALID_LINK)
    await use_link(session, mail)
    await change_email(session, user, user.pending_email)
    await session.flush()


async def change_email(session: AsyncSession, user: User, email: str, *, tells: bool = True) -> None:
    """Give a user an address at once, and tell the old one. Links that were sent to the old one are void."""
    if email != user.email:
        if tells:
            about = f"users/{user.id}/old-email"
            session.add(Mail(kind=MailKind.EMAIL_CHANGED, user_id=user.id, about=about, address=user.email))
        await void_links(session, user.id, MailKind.PASSWORD_RESET)
        user.email = email
    if user.pending_email is not None:
        await void_links(session, user.id, MailKind.EMAIL_CONFIRMATION)
        user.pending_email = None
