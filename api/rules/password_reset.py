"""A forgotten password: a mail with a link is asked for, and the link sets a new one."""

from sqlmodel import col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.errors import Forbidden
from api.models.mail import Mail, MailKind
from api.models.outgoing import OutgoingStatus
from api.models.token import Token, TokenKind
from api.models.user import User
from api.rules.mailed_links import INVALID_LINK, use_link, void_links


async def ask_for_reset(session: AsyncSession, login: str) -> None:
    """Queue a mail to the user who signs in by this name or address.

    Where there is none, a mail that failed is written: the same work for all, so that the time tells nothing.
    """
    users = select(User.id).where(User.signs_in_by(login)).order_by(col(User.id)).limit(1)
    user_id = (await session.exec(users)).first()
    mail = Mail(kind=MailKind.PASSWORD_RESET, user_id=user_id, about=f"users/{user_id or 0}/password")
    if user_id is None:
        mail.status, mail.error = OutgoingStatus.FAILED, "Nobody signs in by this name or address."
    session.add(mail)
    await session.flush()


async def reset_password(session: AsyncSession, mail: Mail, hashed_password: str) -> None:
    """Set the password of the user to whom a link was sent, and end all sessions. The link is then used up.

    Raises:
        Forbidden: The link was used meanwhile, or its user is inactive.
    """
    user_id = mail.user_id or 0
    user = (col(User.id) == user_id, col(User.is_active))
    if (await session.exec(update(User).where(*user).values(hashed_password=hashed_password))).rowcount == 0:
        raise Forbidden(INVALID_LINK)
    await use_link(session, mail)
    await forget_password(session, user_id=user_id)


async def forget_password(session: AsyncSession, *, user_id: int, but_session: int | None = None) -> None:
    """End what was begun by a user's earlier password: the sessions, but for one, and links that set another one."""
    sessions = delete(Token).where(col(Token.user_id) == user_id, col(Token.kind) == TokenKind.SESSION)
    await session.exec(sessions if but_session is None else sessions.where(col(Token.id) != but_session))
    await void_links(session, user_id, MailKind.PASSWORD_RESET)
