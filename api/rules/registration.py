"""Registering by mail: a registration waits until the link in a mail to its address is followed.

A request does not look whether the address is taken, so nothing of its answer can tell. The worker does, when it sends
the mail: who has an account is told that instead, and no registration is left.
"""

from collections.abc import Sequence
from datetime import timedelta

from sqlmodel import col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.errors import already_exists
from api.errors import Conflict, Forbidden, ShopError
from api.models.base import noun_of, utcnow
from api.models.mail import Mail, MailKind
from api.models.outgoing import OutgoingStatus
from api.models.registration import Registration
from api.models.user import User, UserBase
from api.rules.events import record_registrations
from api.rules.mailed_links import INVALID_LINK

TOLD_EVERY = timedelta(days=1)
"""How often a user is told at most of having an account: whoever knows the address can have the shop write to it."""

REGISTRATIONS_AT_A_TIME = 1_000
"""Each takes its mails along."""

CONFIRMED = "This registration was confirmed already. Sign in."


async def ask_to_register(session: AsyncSession, registration: Registration) -> None:
    """Have a registration wait, and queue the mail with its link.

    Raises:
        Conflict: The username is taken. Anybody sees usernames beside posts, so this tells nothing new.
    """
    taken = select(User.id).where(User.username == registration.username)
    if (await session.exec(taken)).first() is not None:
        raise Conflict(already_exists(noun_of(User), ("username",)))
    session.add(registration)
    await session.flush()
    about = f"registrations/{registration.id}"
    mail = Mail(kind=MailKind.REGISTRATION, registration_id=registration.id, about=about, address=registration.email)
    session.add(mail)
    await session.flush()


async def confirm_registration(session: AsyncSession, mail: Mail) -> User:
    """Make a user of the registration whose link was followed; others of the same address are dropped.

    Raises:
        Conflict: It was confirmed already, or another user has the username or the address by now.
        Forbidden: It has expired.
    """
    # All of the address are locked, so that of two links at once one waits for the other here.
    same = select(Registration).where(Registration.email == mail.address).order_by(col(Registration.id))
    waiting = (await session.exec(same.with_for_update())).all()
    mine = next((each for each in waiting if each.id == mail.registration_id), None)
    if mine is None or mine.expires_at <= utcnow():
        raise await _refusal(session, mail)
    values = mine.model_dump(include={*UserBase.model_fields, "hashed_password"})
    user = User.model_validate(values)
    session.add(user)
    await session.flush()
    becomes = {"user_id": user.id, "registration_id": None, "address": None}
    await session.exec(update(Mail).where(col(Mail.id) == mail.id).values(becomes))
    await session.exec(delete(Registration).where(col(Registration.email) == user.email))
    record_registrations(session, [user])
    return user


async def _refusal(session: AsyncSession, mail: Mail) -> ShopError:
    """Asked anew, because another request may have confirmed it since the link was looked up."""
    user_id = (await session.exec(select(Mail.user_id).where(Mail.id == mail.id))).first()
    return Forbidden(INVALID_LINK) if user_id is None else Conflict(CONFIRMED)


async def tell_users_instead(session: AsyncSession, mails: Sequence[Mail]) -> set[int]:
    """Have mails of registrations tell the users who have these addresses already; the registrations are dropped.

    Returns:
        The ids of the mails that are not sent, because the user was told before.
    """
    dropped = set()
    # All at once and in order, so that one worker at a time looks, and none waits for another that waits for it.
    owners = select(col(User.email), col(User.id)).where(col(User.email).in_({each.address for each in mails}))
    ids = dict((await session.exec(owners.order_by(col(User.id)).with_for_update())).all())
    for mail in mails:
        user_id = ids.get(mail.address or "")
        if user_id is None:
            continue
        values = {"kind": MailKind.ACCOUNT_EXISTS, "user_id": user_id, "about": f"users/{user_id}/registration"}
        values |= {"registration_id": None, "address": None, "token_hash": None}
        if await _was_told(session, user_id):
            ended = {"status": OutgoingStatus.FAILED, "error": "The user was told so within a day.", "claim": None}
            values |= ended | {"claimed_until": None}
            dropped.add(mail.id)
        registration_id, this = mail.registration_id, (col(Mail.id) == mail.id, col(Mail.claim) == mail.claim)
        if not (await session.exec(update(Mail).where(*this).values(values))).rowcount:
            dropped.add(mail.id)
            continue
        await session.exec(delete(Registration).where(col(Registration.id) == registration_id))
        mail.sqlmodel_update(values)
    return dropped


async def _was_told(session: AsyncSession, user_id: int) -> bool:
    told = (
        col(Mail.user_id) == user_id,
        col(Mail.kind) == MailKind.ACCOUNT_EXISTS,
        col(Mail.status) != OutgoingStatus.FAILED,
        col(Mail.created_at) > utcnow() - TOLD_EVERY,
    )
    return (await session.exec(select(Mail.id).where(*told).limit(1))).first() is not None


async def purge(session: AsyncSession) -> int:
    """Delete registrations that nobody confirmed in time, so many at once, and return how many those were."""
    expired = select(Registration.id).where(col(Registration.expires_at) <= utcnow()).order_by(col(Registration.id))
    ids = (await session.exec(expired.limit(REGISTRATIONS_AT_A_TIME))).all()
    await session.exec(delete(Registration).where(col(Registration.id).in_(ids)))
    return len(ids)
