"""Who is asking: the dependencies by which a route names its caller."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer
from sqlmodel import bindparam, col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth.tokens import hash_token
from api.database.errors import DATABASE_ERRORS
from api.database.sessions import Database
from api.errors import Forbidden, Unauthorized
from api.models.base import utcnow
from api.models.token import Token
from api.models.user import User
from api.web.app_state import database_of
from api.web.transactions import run_of

INVALID_TOKEN = "The token is invalid or has expired. Sign in again."  # noqa: S105
STAFF_ONLY = "Only staff may do this."

_bearer = OAuth2PasswordBearer(
    tokenUrl="auth/token", auto_error=False, description="Sign in with a username or e-mail address and a password."
)


@dataclass(frozen=True)
class Credentials:
    """A valid token and its user, as they were when the request came in. Neither belongs to a session."""

    user: User
    token: Token


# Built once: almost every request runs it.
SELECT_CREDENTIALS = (
    select(User, Token)
    .join(Token, col(Token.user_id) == col(User.id))
    .where(Token.token_hash == bindparam("token_hash"), col(Token.expires_at) > bindparam("now"), col(User.is_active))
)


async def _find_credentials(request: Request) -> Credentials | None:
    """The session is a short one of its own, so that a request never holds two connections of the pool at once."""
    secret = await _bearer(request)
    if secret is None:
        return None
    database = database_of(request)
    async with database.reads() as session:
        parameters = {"token_hash": hash_token(secret), "now": utcnow()}
        found = (await session.exec(SELECT_CREDENTIALS, params=parameters)).one_or_none()
    if found is None:
        raise Unauthorized(INVALID_TOKEN)
    credentials = Credentials(*found)
    if not credentials.token.was_used_recently():
        await _record_use(database, credentials.token)
    return credentials


async def _record_use(database: Database, token: Token) -> None:
    """Record when a token was used. A request neither fails nor waits for this; the next one records it otherwise."""
    if database.is_busy():
        return
    # Of many requests at once, one records it.
    unchanged = (col(Token.id) == token.id, col(Token.last_used_at).is_not_distinct_from(token.last_used_at))
    record = update(Token).where(*unchanged).values(last_used_at=utcnow())
    try:
        async with database.transaction() as session:
            await session.exec(record)
    except DATABASE_ERRORS:
        return


async def caller_id(request: Request) -> int | None:
    """The id of the user who sends a request; `None` without a token. For `api/web/app_state.py`.

    Raises:
        Unauthorized: The token is invalid or has expired.
    """
    credentials = await run_of(request).once(_find_credentials)
    return credentials.user.id if credentials else None


async def optional_credentials(request: Request, _: Annotated[str | None, Depends(_bearer)]) -> Credentials | None:
    return await run_of(request).once(_find_credentials)


async def current_credentials(
    credentials: Annotated[Credentials | None, Depends(optional_credentials)],
) -> Credentials:
    if credentials is None:
        raise Unauthorized("Sign in first: send a token as `Authorization: Bearer …`.")
    return credentials


async def optional_user(credentials: Annotated[Credentials | None, Depends(optional_credentials)]) -> User | None:
    return credentials.user if credentials else None


async def current_user(credentials: Annotated[Credentials, Depends(current_credentials)]) -> User:
    return credentials.user


async def staff(user: Annotated[User, Depends(current_user)]) -> User:
    if not user.is_superuser:
        raise Forbidden(STAFF_ONLY)
    return user


CurrentCredentials = Annotated[Credentials, Depends(current_credentials)]
OptionalUser = Annotated[User | None, Depends(optional_user)]
CurrentUser = Annotated[User, Depends(current_user)]
Staff = Annotated[User, Depends(staff)]


async def lock_caller(session: AsyncSession, credentials: Credentials) -> None:
    """Keep the caller's tokens from being revoked until the transaction ends; a new key would outlive them otherwise.

    Raises:
        Unauthorized: The user has been deactivated, or the token revoked, since the request came in.
    """
    caller = select(User.id).where(User.id == credentials.user.id, col(User.is_active)).with_for_update(read=True)
    locked = (await session.exec(caller)).first()
    # Asked after the user is locked: a request that revokes a token locks its user first.
    token = (await session.exec(select(Token.id).where(Token.id == credentials.token.id))).first()
    if locked is None or token is None:
        raise Unauthorized(INVALID_TOKEN)
