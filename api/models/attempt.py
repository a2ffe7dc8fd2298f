"""Attempts: how often something that is throttled was tried, so that all workers count together."""

from enum import StrEnum

from pydantic import AwareDatetime
from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel

from api.models.base import Id, one_of
from api.models.columns import Choice


class AttemptKind(StrEnum):
    """What is counted; each value is the name of the setting that limits it."""

    SIGN_IN_BY_ACCOUNT = "failed_sign_ins_per_account"
    SIGN_IN_BY_ADDRESS = "failed_sign_ins_per_address"
    REGISTRATION = "registrations_per_address"


class Attempt(SQLModel, table=True):
    """The attempts of one account or address within one window of time. Who it was is stored as a hash."""

    __tablename__ = "attempts"
    __table_args__ = (UniqueConstraint("kind", "subject", "window_start"), one_of("kind", AttemptKind))

    id: Id = Field(default=None, primary_key=True)
    kind: AttemptKind = Field(sa_type=Choice(AttemptKind))
    subject: str = Field(max_length=64)
    window_start: AwareDatetime = Field(index=True)
    count: int = Field(default=1)
