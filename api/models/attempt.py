"""Attempts: how often a throttled action was tried, so that all workers count together."""

from enum import StrEnum
from typing import ClassVar

from pydantic import AwareDatetime
from sqlmodel import Field, SQLModel, UniqueConstraint

from api.models.base import NotAudited, one_of
from api.models.columns import EnumValue
from api.models.types import Id, Sha256


class AttemptKind(StrEnum):
    """What is counted; each value is the name of the setting that limits it."""

    SIGN_IN_BY_ACCOUNT = "failed_sign_ins_per_account"
    SIGN_IN_BY_ADDRESS = "failed_sign_ins_per_address"
    REGISTRATION = "registrations_per_address"
    REGISTRATION_BY_EMAIL = "registrations_per_email"
    RESET_BY_ACCOUNT = "password_resets_per_account"
    RESET_BY_ADDRESS = "password_resets_per_address"


class Attempt(SQLModel, table=True):
    """The attempts of one account or address within one window of time; a hash stands for the account or address."""

    __tablename__ = "attempts"
    not_audited: ClassVar[NotAudited] = "it counts, for a quarter of an hour"
    __table_args__ = (UniqueConstraint("kind", "subject", "window_start"), one_of("kind", AttemptKind))

    id: Id = Field(default=None, primary_key=True)
    kind: AttemptKind = Field(sa_type=EnumValue(AttemptKind))
    subject: Sha256
    window_start: AwareDatetime = Field(index=True)
    count: int = Field(default=1)
