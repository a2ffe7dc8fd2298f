"""Tokens: opaque, random and stored as hashes. They are 256 random bits, so a plain SHA-256 is enough."""

import hashlib
import secrets
from datetime import timedelta

from sqlmodel import col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.base import utcnow
from api.models.token import Token, TokenKind
from api.models.user import Caller, User

PREFIX_LENGTH = 12
"""Characters of a token that are stored as they are, so that its user can tell it from others."""

TOKENS_AT_A_TIME = 1_000
"""Each is a parameter of the statement, and has an entry in the audit trail."""


def new_token(user: User | Caller, kind: TokenKind, name: str, lifetime: timedelta) -> tuple[str, Token]:
    """A token for its user to keep, and the row that is stored of it."""
    secret = f"shop_{secrets.token_urlsafe(32)}"
    row = Token(
        user_id=user.id,
        kind=kind,
        name=name,
        prefix=secret[:PREFIX_LENGTH],
        token_hash=hash_token(secret),
        expires_at=utcnow() + lifetime,
    )
    return secret, row


def hash_token(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


async def purge(session: AsyncSession) -> int:
    """Delete expired tokens, so many at a time, and return how many those were."""
    expired = select(Token.id).where(col(Token.expires_at) < utcnow()).order_by(col(Token.id)).limit(TOKENS_AT_A_TIME)
    ids = (await session.exec(expired)).all()
    await session.exec(delete(Token).where(col(Token.id).in_(ids)))
    return len(ids)
