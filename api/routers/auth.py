"""Signing in and out, passwords, and API keys for programs."""

from datetime import timedelta

from fastapi import Depends, Request
from sqlmodel import col, delete, select

from api.auth.callers import CurrentUser, current_user, lock_caller
from api.auth.mailed_links import HasMail, ThrottledReset, confirm_new_email, confirm_new_user, set_new_password
from api.auth.passwords import hash_password
from api.auth.registration import Throttled, ThrottledNewAddress
from api.auth.sign_in import EmailChanger, PasswordChanger, VerifiedSignIn, lock_verified, update_verified
from api.auth.tokens import new_token
from api.errors import NotFound
from api.models.base import utcnow
from api.models.mail import EmailConfirmation, MailPromised, PasswordReset, PasswordResetRequest
from api.models.registration import RegistrationConfirmation
from api.models.token import AccessToken, Token, TokenCreate, TokenKind, TokenRead, TokenReadOnce
from api.models.user import EmailChange, PasswordChange, User, UserRead
from api.reads.pages import read_page
from api.reads.rows import Read
from api.rules.email_change import ask_for_email, change_email
from api.rules.password_reset import ask_for_reset, forget_password
from api.web.app_state import AppSettings
from api.web.loading import PathId
from api.web.pagination import CursorPage, Page, PagingParams
from api.web.problems import problems
from api.web.routing import Router
from api.web.sessions import WriteSession

router = Router("/auth", tag="auth")


@router.post("/token", responses=problems(401, 429))
async def sign_in(verified: VerifiedSignIn, session: WriteSession, settings: AppSettings) -> AccessToken:
    """Sign in with a username or e-mail address and a password (OAuth2 password form)."""
    user, lifetime = verified.user, timedelta(days=settings.session_days)
    await update_verified(session, user, hashed_password=verified.hashed_password, last_login_at=utcnow())
    secret, token = new_token(user, TokenKind.SESSION, "Session", lifetime)
    session.add(token)
    return AccessToken(access_token=secret, expires_in=int(lifetime.total_seconds()))


@router.delete("/token", status_code=204)
async def sign_out(user: CurrentUser, session: WriteSession) -> None:
    """Revoke the token that this request is sent with."""
    await session.exec(delete(Token).where(col(Token.id) == user.token_id))


@router.post("/password", status_code=204, responses=problems(403, 429))
async def change_password(data: PasswordChange, user: PasswordChanger, session: WriteSession) -> None:
    """Change the password. All other sessions are revoked."""
    await update_verified(session, user, hashed_password=await hash_password(data.new_password))
    await forget_password(session, user_id=user.id, but_session=user.token_id)


@router.post(
    "/email",
    response_model=UserRead,
    responses=problems(403, 409, 429),
    dependencies=[Depends(current_user), Throttled, ThrottledNewAddress],
)
async def change_address(data: EmailChange, caller: EmailChanger, session: WriteSession, settings: AppSettings) -> User:
    """Change the e-mail address. Where the shop sends mail, it is `pending_email` until its link is followed.

    The present address calls a pending one off.
    """
    user = await lock_verified(session, caller)
    if settings.confirms_addresses:
        await ask_for_email(session, user, data.email)
    else:
        await change_email(session, user, data.email, tells=settings.has_mail)
    await session.flush()
    return user


@router.post("/password/reset", status_code=202, responses=problems(409, 429), dependencies=[HasMail, ThrottledReset])
async def request_password_reset(data: PasswordResetRequest, session: WriteSession) -> MailPromised:
    """Ask for a mail with a link that sets a new password. The answer is the same whoever has an account."""
    await ask_for_reset(session, data.login)
    return MailPromised(message="If there is such an account, a mail with a link is on its way to its address.")


@router.post("/password/reset/confirm", status_code=204, responses=problems(403))
async def confirm_password_reset(data: PasswordReset, request: Request) -> None:
    """Set a new password by the token of the link, which works once and for 30 minutes. All sessions are revoked."""
    await set_new_password(request, data)


@router.post("/email/confirm", status_code=204, responses=problems(403, 409))
async def confirm_email(data: EmailConfirmation, request: Request) -> None:
    """Confirm a new e-mail address by the token of the link, which works once and for a day."""
    await confirm_new_email(request, data)


@router.post("/registration/confirm", status_code=201, response_model=UserRead, responses=problems(403, 409))
async def confirm_registration(data: RegistrationConfirmation, request: Request) -> User:
    """Become a customer by the token of the link, which works once and for a day after the registration."""
    return await confirm_new_user(request, data)


@router.get("/keys", response_model=Page[TokenRead] | CursorPage[TokenRead])
async def list_keys(user: CurrentUser, paging: PagingParams) -> Read:
    """List the caller's API keys, by name and prefix: the keys themselves are not stored."""
    return read_page(select(Token).where(Token.visible_to(user)), paging)


@router.post("/keys", status_code=201, responses=problems(409))
async def create_key(data: TokenCreate, user: CurrentUser, session: WriteSession) -> TokenReadOnce:
    """Create an API key. Only this answer contains the key itself."""
    await lock_caller(session, user)
    secret, key = new_token(user, TokenKind.KEY, data.name, timedelta(days=data.expires_in_days))
    session.add(key)
    await session.flush()
    return TokenReadOnce.model_validate(key, update={"token": secret})


@router.delete("/keys/{id}", status_code=204, responses=problems(404))
async def revoke_key(key_id: PathId, user: CurrentUser, session: WriteSession) -> None:
    """Revoke an API key."""
    revoked = await session.exec(delete(Token).where(col(Token.id) == key_id, Token.visible_to(user)))
    if revoked.rowcount == 0:
        raise NotFound("There is no such API key.")
