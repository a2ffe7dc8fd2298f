"""Registrations that wait for the link in a mail: who has read it becomes a user, and of the others nothing stays."""

from datetime import datetime
from typing import ClassVar

from pydantic import AwareDatetime
from sqlmodel import Field

from api.models.base import NotAudited, Schema, utcnow
from api.models.mail import LinkToken
from api.models.types import Email, Id
from api.models.user import AnyEmail, AnyUsername, UserBase


class Registration(UserBase, table=True):
    """Reserves neither its username nor its address: of several, the one whose link is followed first counts."""

    __tablename__ = "registrations"
    not_audited: ClassVar[NotAudited] = "nobody is a user by it, and the user whom it becomes has an entry"

    id: Id = Field(default=None, primary_key=True)
    email: Email = Field(index=True)
    hashed_password: str = Field(max_length=255)
    created_at: AwareDatetime = Field(default_factory=utcnow)
    expires_at: AwareDatetime


class RegistrationRead(Schema):
    """What was taken; the same whether or not the address has an account already."""

    username: AnyUsername
    email: AnyEmail
    expires_at: datetime


class RegistrationConfirmation(Schema):
    token: LinkToken
