"""Tokens: what a client proves itself with. Only a hash of each is stored."""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import AwareDatetime
from pydantic import Field as Limits
from sqlalchemy import ColumnElement
from sqlmodel import Field, and_, col

from api.models.base import NotAudited, Schema, Timestamps, one_of
from api.models.columns import EnumValue
from api.models.texts import LINE
from api.models.types import SECRET, Id, Integral, Sha256

if TYPE_CHECKING:
    from api.models.user import Caller

TokenName = Annotated[str, Limits(min_length=1, max_length=100, examples=["Stock sync"]), LINE]
TokenPrefix = Annotated[str, Limits(max_length=12, examples=["shop_Zk3v9Q"])]
TokenSecret = Annotated[str, SECRET, Limits(examples=["shop_Zk3v9QeXAMPLEeXAMPLEeXAMPLEeXAMPLEeXAMPLE0"])]
LifetimeInDays = Annotated[int, Limits(strict=True, ge=1, le=3_650), Integral]
"""Ten years at most: a key that nobody remembers has to end some day."""


class TokenKind(StrEnum):
    SESSION = "session"
    KEY = "key"


class TokenBase(Schema):
    """What a client may write."""

    name: TokenName


class Token(TokenBase, Timestamps, table=True):
    """A session from a sign-in, or an API key that its user made. Both are opaque, random and revocable."""

    __tablename__ = "tokens"
    not_audited: ClassVar[NotAudited] = {"last_used_at": "each hour of use changes it"}
    __table_args__ = (one_of("kind", TokenKind),)

    id: Id = Field(default=None, primary_key=True)
    user_id: Id = Field(foreign_key="users.id", ondelete="CASCADE", index=True)
    kind: TokenKind = Field(sa_type=EnumValue(TokenKind))
    prefix: TokenPrefix
    token_hash: Sha256 = Field(unique=True)
    expires_at: AwareDatetime
    last_used_at: AwareDatetime | None = None

    @classmethod
    def visible_to(cls, user: "Caller") -> ColumnElement[bool]:
        """The API keys of a user, as a condition: nobody else sees them, staff included."""
        return and_(col(cls.user_id) == user.id, col(cls.kind) == TokenKind.KEY)


class TokenCreate(TokenBase):
    """A request for an API key."""

    expires_in_days: LifetimeInDays = 90  # a quarter: often enough to notice a key that is no longer needed


class TokenRead(TokenBase):
    id: Id
    prefix: TokenPrefix
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None


class TokenReadOnce(TokenRead):
    """The only answer that contains the key itself."""

    token: TokenSecret


class AccessToken(Schema):
    """RFC 6749, section 5.1."""

    access_token: TokenSecret
    token_type: Annotated[str, Limits(examples=["bearer"])] = "bearer"  # noqa: S105
    expires_in: Annotated[int, Limits(description="Seconds until it expires.", examples=[1_209_600])]
