"""What a link in a mail does for whoever follows it, and asking for such a mail."""

from fastapi import Depends, Request
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth.passwords import hash_password
from api.auth.throttling import address_of, count_or_refuse
from api.auth.tokens import hash_token
from api.errors import Conflict
from api.models.attempt import AttemptKind
from api.models.mail import EmailConfirmation, Mail, MailKind, PasswordReset, PasswordResetRequest
from api.models.registration import RegistrationConfirmation
from api.models.user import User
from api.rules.email_change import confirm_email
from api.rules.mailed_links import mail_of_link
from api.rules.password_reset import reset_password
from api.rules.registration import confirm_registration
from api.web.app_state import AppDatabase, AppSettings, database_of
from api.web.transactions import run_of


async def _refuse_without_mail(settings: AppSettings) -> None:
    if not settings.has_mail:
        raise Conflict("This shop sends no mail, so it cannot reset a password. Ask its staff.")


async def _throttle_resets(
    data: PasswordResetRequest, request: Request, database: AppDatabase, settings: AppSettings
) -> None:
    """Count a request for a mail. A name without an account is counted like any other."""
    subjects = {
        AttemptKind.RESET_BY_ACCOUNT: f"name {data.login.lower()}",
        AttemptKind.RESET_BY_ADDRESS: address_of(request),
    }
    async with database.transaction() as session:
        await count_or_refuse(session, subjects, settings)


HasMail = Depends(_refuse_without_mail)
ThrottledReset = Depends(_throttle_resets)


async def set_new_password(request: Request, data: PasswordReset) -> None:
    """Set the password of whoever got the link. A wrong link costs no hash, and no lock is held while one is made.

    Raises:
        Forbidden: The link does not work.
    """
    async with database_of(request).reads() as session:
        mail = await _followed(request, session, MailKind.PASSWORD_RESET, data.token)
    hashed_password = await hash_password(data.new_password)
    await reset_password(await run_of(request).write_session(), mail, hashed_password)


async def confirm_new_email(request: Request, data: EmailConfirmation) -> None:
    """Give whoever got the link the address that it was sent to.

    Raises:
        Conflict: Another user has the address by now.
        Forbidden: The link does not work.
    """
    session = await run_of(request).write_session()
    await confirm_email(session, await _followed(request, session, MailKind.EMAIL_CONFIRMATION, data.token))


async def confirm_new_user(request: Request, data: RegistrationConfirmation) -> User:
    """Make a user of whoever got the link.

    Raises:
        Conflict: It was followed before, or another user has the username or the address by now.
        Forbidden: The link does not work.
    """
    session = await run_of(request).write_session()
    return await confirm_registration(session, await _followed(request, session, MailKind.REGISTRATION, data.token))


async def _followed(request: Request, session: AsyncSession, kind: MailKind, token: str) -> Mail:
    """The mail whose link was followed: to the audit trail its user does what follows, signed in or not."""
    mail = await mail_of_link(session, kind, hash_token(token))
    run_of(request).origin.user_id = mail.user_id
    return mail
