"""Idempotency keys: the answers to requests that a client may send again."""

from typing import ClassVar

from pydantic import AwareDatetime
from sqlmodel import Field, SQLModel, UniqueConstraint

from api.models.base import NotAudited, utcnow
from api.models.types import Id, Sha256


class IdempotencyKey(SQLModel, table=True):
    """One request under a user's key, and its answer: see `api/web/stored_answers.py`."""

    __tablename__ = "idempotency_keys"
    not_audited: ClassVar[NotAudited] = "it is an answer, and no row of the shop's"
    __table_args__ = (UniqueConstraint("user_id", "route", "key"),)

    id: Id = Field(default=None, primary_key=True)
    user_id: Id = Field(foreign_key="users.id", ondelete="CASCADE")
    route: str = Field(max_length=100)
    key: str = Field(max_length=255)
    fingerprint: Sha256
    status_code: int | None = None
    body: str | None = Field(default=None, max_length=16_000_000)  # MySQL's MEDIUMTEXT holds 16,777,215 bytes
    created_at: AwareDatetime = Field(default_factory=utcnow, index=True)
