"""Who is asking: passwords, tokens, and the dependencies that name the caller.

Passwords are hashed with argon2id at OWASP's floor (Password Storage Cheat Sheet: 19 MiB, t=2, p=1), in a thread, two
at a time: more would only fill the memory. Tokens are 256 random bits, so a plain SHA-256 is enough to store them by.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import bindparam
from sqlmodel import col, select, update

from api.database import Database, database_of
from api.database_errors import DatabaseError
from api.errors import Forbidden, Unauthorized
from api.models import Token, TokenKind, User
from api.models.base import utcnow

_hashing = PasswordHash([Argon2Hasher(time_cost=2, memory_cost=19_456, parallelism=1)])
hashing_turn = CapacityLimiter(2)
_nobodys_hash = _hashing.hash(secrets.token_urlsafe())
"""Verified where there is no such user, so that the time it takes tells nothing."""

_bearer = OAuth2PasswordBearer(
    tokenUrl="auth/token", auto_error=False, description="Sign in with a username or e-mail address and a password."
)


async def hash_password(password: str) -> str:
    async with hashing_turn:
        return await to_thread.run_sync(_hashing.hash, password)


async def verify_password(password: str, hashed: str | None) -> tuple[bool, str | None]:
    """Whether it is right, and a new hash where the parameters have risen since. `None` stands for no user.

    Whoever calls this has a `hashing_turn`.
    """
    right, new_hash = await to_thread.run_sync(_hashing.verify_and_update, password, hashed or _nobodys_hash)
    return (right, new_hash) if hashed else (False, None)


def new_token(user: User, kind: TokenKind, name: str, lifetime: timedelta) -> tuple[str, Token]:
    """A token for its user to keep, and the row that stands for it here."""
    secret = f"shop_{secrets.token_urlsafe(32)}"
    row = Token(
        user_id=user.id,
        kind=kind,
        name=name,
        prefix=secret[:12],
        token_hash=_hash_token(secret),
        expires_at=utcnow() + lifetime,
    )
    return secret, row


def _hash_token(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def client_address(request: Request) -> str:
    """Where a request comes from; behind a proxy that `FORWARDED_ALLOW_IPS` names, where that says."""
    return request.client.host if request.client else "unknown"


@dataclass(frozen=True)
class Credentials:
    """A valid token and its user, as they were when the request came in. Neither belongs to a session."""

    user: User
    token: Token


VALID = (
    select(User, Token)
    .join(Token, col(Token.user_id) == col(User.id))
    .where(Token.token_hash == bindparam("token_hash"), col(Token.expires_at) > bindparam("now"), col(User.is_active))
)
"""Built once: this is asked with almost every request."""


async def optional_credentials(request: Request, secret: Annotated[str | None, Depends(_bearer)]) -> Credentials | None:
    """Nobody where no token was sent.

    The session is its own and short, so that a request never holds two connections of the pool at once.
    """
    if secret is None:
        return None
    database = database_of(request)
    async with database.reads() as session:
        asked = {"token_hash": _hash_token(secret), "now": utcnow()}
        found = (await session.exec(VALID, params=asked)).one_or_none()
    if found is None:
        raise Unauthorized("The token is not valid, or not any more: sign in again.")
    credentials = Credentials(*found)
    if not credentials.token.was_used_recently():
        await _note_use(database, credentials.token)
    return credentials


async def _note_use(database: Database, token: Token) -> None:
    """A request neither fails nor waits because this could not be written down; the next one will."""
    if database.is_busy():
        return
    # Of many requests at once, one notes it.
    this = update(Token).where(
        col(Token.id) == token.id, col(Token.last_used_at).is_not_distinct_from(token.last_used_at)
    )
    try:
        async with database.transaction() as session:
            await session.exec(this.values(last_used_at=utcnow()).execution_options(synchronize_session=False))
    except DatabaseError:
        return


async def optional_user(credentials: Annotated[Credentials | None, Depends(optional_credentials)]) -> User | None:
    return credentials.user if credentials else None


async def current_credentials(
    credentials: Annotated[Credentials | None, Depends(optional_credentials)],
) -> Credentials:
    if credentials is None:
        raise Unauthorized("Sign in first: send a token as `Authorization: Bearer …`.")
    return credentials


async def current_user(credentials: Annotated[Credentials, Depends(current_credentials)]) -> User:
    return credentials.user


async def staff(user: Annotated[User, Depends(current_user)]) -> User:
    if not user.is_superuser:
        raise Forbidden("Only staff may do this.")
    return user


CurrentCredentials = Annotated[Credentials, Depends(current_credentials)]
CurrentUser = Annotated[User, Depends(current_user)]
OptionalUser = Annotated[User | None, Depends(optional_user)]
Staff = Annotated[User, Depends(staff)]
