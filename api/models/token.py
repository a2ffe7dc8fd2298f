"""Tokens: what a client proves itself with. Only a hash is stored."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime
from pydantic import Field as Limits
from sqlmodel import Field

from api.models.base import Id, Schema, Timestamps, Whole, one_of, utcnow
from api.models.columns import Choice


class TokenKind(StrEnum):
    SESSION = "session"
    KEY = "key"


class TokenBase(Schema):
    """What a client may write."""

    name: str = Field(min_length=1, max_length=100, schema_extra={"examples": ["Stock sync"]})


class Token(TokenBase, Timestamps, table=True):
    """A session from a sign-in, or an API key that its user made. Both are opaque, random and revocable."""

    __tablename__ = "tokens"
    __table_args__ = (one_of("kind", TokenKind),)

    id: Id = Field(default=None, primary_key=True)
    user_id: Id = Field(foreign_key="users.id", ondelete="CASCADE", index=True)
    kind: TokenKind = Field(sa_type=Choice(TokenKind))
    prefix: str = Field(max_length=12)
    token_hash: str = Field(max_length=64, unique=True)
    expires_at: AwareDatetime
    last_used_at: AwareDatetime | None = None

    def was_used_recently(self) -> bool:
        """Within the hour: `last_used_at` is no finer, so that reading costs no write."""
        return self.last_used_at is not None and utcnow() - self.last_used_at < timedelta(hours=1)


class TokenCreate(TokenBase):
    """An API key to be made."""

    expires_in_days: Annotated[int, Limits(strict=True, ge=1, le=3_650), Whole] = 90


class TokenRead(TokenBase):
    id: Id
    prefix: str = Field(schema_extra={"examples": ["shop_Zk3v9Q"]})
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None


class TokenReadOnce(TokenRead):
    """The only answer that ever holds the key itself."""

    token: str = Field(schema_extra={"examples": ["shop_Zk3v9QeXAMPLEeXAMPLEeXAMPLEeXAMPLEeXAMPLE0"]})


class AccessToken(Schema):
    """RFC 6749, section 5.1."""

    access_token: str = Field(schema_extra={"examples": ["shop_Zk3v9QeXAMPLEeXAMPLEeXAMPLEeXAMPLEeXAMPLE0"]})
    token_type: str = Field(default="bearer", schema_extra={"examples": ["bearer"]})
    expires_in: int = Field(description="Seconds until it expires.", schema_extra={"examples": [1_209_600]})
