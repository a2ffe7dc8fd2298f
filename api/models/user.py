"""Users: customers and, where `is_superuser` is set, staff."""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import AfterValidator, AwareDatetime, StrictBool, StringConstraints
from pydantic import Field as Limits
from sqlalchemy import ColumnElement
from sqlmodel import Field, String, and_, bindparam, cast, col, literal, or_, true

from api.models.base import NotAudited, Schema, related, utcnow
from api.models.columns import BigInt
from api.models.searchable import Searchable
from api.models.texts import LINE, LINES
from api.models.types import ABSENT, SECRET, Email, Id, IsActive, in_words
from api.models.versioned import Versioned

if TYPE_CHECKING:
    from api.models.order import Order
    from api.models.post import Post


def _strong(password: str) -> str:
    if not re.search(r"[A-Z]", password) or not re.search(r"[0-9]", password):
        raise ValueError("must contain at least one upper-case letter and one digit")
    return password


STRONG_PASSWORD = r"^[^\x00]*([A-Z][^\x00]*[0-9]|[0-9][^\x00]*[A-Z])[^\x00]*$"  # noqa: S105
"""What `_strong` asks for, as a pattern for clients and their generators."""

USERNAME_PATTERN = in_words(r"^[A-Za-z0-9_]+$", "must consist of the letters a to z and A to Z, digits and underscores")
Username = Annotated[
    str, Limits(min_length=3, max_length=50, pattern=USERNAME_PATTERN, examples=["johndoe"]), AfterValidator(str.lower)
]
FullName = Annotated[str | None, Limits(max_length=100, examples=["John Doe"]), LINE]
Bio = Annotated[str | None, Limits(max_length=500, examples=["Listens to everything."]), LINES]
UnstrippedText = Annotated[str, StringConstraints(strip_whitespace=False)]
PresentPassword = Annotated[UnstrippedText, SECRET, Limits(max_length=128, examples=["SecurePass123"])]
Password = Annotated[
    UnstrippedText,
    SECRET,
    Limits(min_length=8, max_length=128),
    AfterValidator(_strong),
    Limits(examples=["SecurePass123"], json_schema_extra={"pattern": STRONG_PASSWORD}),
]

# An erased user is called `erased-7`, which is neither a username nor an e-mail address that anyone may choose.
AnyUsername = Annotated[str, Limits(examples=["johndoe"])]
AnyEmail = Annotated[str, Limits(examples=["john@example.com"])]


PendingEmail = Annotated[
    Email | None,
    Limits(
        max_length=254,
        description="A new address, until the link in the mail to it is followed.",
        examples=["john.doe@example.com"],
    ),
]

USER_ELSEWHERE = {
    "pending_email": "`email` asks for a new address",
    "is_active": "`DELETE /users/{id}/soft` deactivates a user, and staff set it by `PATCH /users/{id}`",
    "is_superuser": "staff set it by `PATCH /users/{id}`",
    "password": "`POST /auth/password` changes it",
    "hashed_password": "`POST /auth/password` changes the password",
    "last_login_at": "the shop sets it",
}


class UserBase(Schema):
    """What a client may write."""

    elsewhere: ClassVar[dict[str, str]] = USER_ELSEWHERE

    username: Username
    email: Email
    full_name: FullName = None
    bio: Bio = None


class User(UserBase, Versioned, Searchable, table=True):
    """A person who signs in. A user with orders or money is erased by forgetting the person and keeping the row."""

    __tablename__ = "users"
    not_audited: ClassVar[NotAudited] = {
        "last_login_at": "the entry of the session's token says it",
        "last_active_at": "requests change it, also those that only read",
    }
    searched = ("username", "email", "full_name")
    edited: ClassVar[tuple[str, ...]] = ("is_active", "is_superuser", "pending_email")

    id: Id = Field(default=None, primary_key=True)
    username: Username = Field(unique=True)
    email: Email = Field(unique=True)
    is_active: bool = Field(default=True)
    is_superuser: bool = Field(default=False)
    hashed_password: str = Field(max_length=255)
    last_login_at: AwareDatetime | None = None
    last_active_at: AwareDatetime | None = None
    """When a token was used last, to the hour. A token that is revoked or purged takes its own time along."""
    erased_at: AwareDatetime | None = None
    pending_email: PendingEmail = None

    posts: list["Post"] = related("author", order_by="Post.id")
    orders: list["Order"] = related("user")

    @classmethod
    def not_erased(cls) -> ColumnElement[bool]:
        """Users who are not erased, as a condition. A row that is kept for the books is shown to nobody."""
        return col(cls.erased_at).is_(None)

    @classmethod
    def signs_in_by(cls, login: str) -> ColumnElement[bool]:
        """The active user who signs in by a username or an e-mail address, as a condition; in an older shop two may.

        A release before names were lower-case may have registered a username with capitals.
        """
        name = login.lower()
        return and_(or_(col(cls.username).in_({name, login}), col(cls.email) == name), col(cls.is_active))

    @classmethod
    def erased_values(cls) -> dict[str, Any]:
        """The columns of an erased user. A username cannot have a hyphen, so the new one is never taken."""
        anonymous = literal("erased-", String) + cast(col(cls.id), String(20))
        return {
            "username": anonymous,
            "email": anonymous,
            "pending_email": None,
            "full_name": None,
            "bio": None,
            "search_text": "",
            "last_login_at": None,
            "last_active_at": None,
            "hashed_password": "",
            "is_active": False,
            "is_superuser": False,
            "erased_at": utcnow(),
        }


class UserCreate(UserBase):
    password: Password


class EmailChange(Schema):
    current_password: PresentPassword
    email: Email


class PasswordChange(Schema):
    current_password: PresentPassword
    new_password: Annotated[Password, Limits(examples=["SaferPass456"])]


class ProfileUpdate(Schema):
    """What users may change of themselves."""

    elsewhere: ClassVar[dict[str, str]] = USER_ELSEWHERE

    username: Username = ABSENT
    email: Email = ABSENT
    full_name: FullName = ABSENT
    bio: Bio = ABSENT


STAFF_FIELDS = {"is_active", "is_superuser"}
"""What users may not change of themselves."""


class UserUpdate(ProfileUpdate):
    """What staff may change of any user."""

    is_active: IsActive = ABSENT
    is_superuser: Annotated[StrictBool, Limits(examples=[False])] = ABSENT

    @property
    def needs_staff(self) -> bool:
        return bool(STAFF_FIELDS & self.model_fields_set)


class UserSummary(Schema):
    """What others may see of a user."""

    id: Id
    username: AnyUsername


class UserRead(UserSummary):
    email: AnyEmail
    pending_email: PendingEmail
    full_name: FullName
    bio: Bio
    is_active: bool
    is_superuser: bool
    last_login_at: datetime | None
    created_at: datetime
    updated_at: datetime


class ErasedUser(Schema):
    """All that there is to say of a user who was erased."""

    id: Id


@dataclass(frozen=True, slots=True)
class Caller:
    """The user who sends a request, as stored when it came in, and the token that it came with."""

    id: int
    username: str
    is_superuser: bool
    token_id: int

    def may_act_for(self, user_id: int) -> bool:
        """Whether this user may read and change what belongs to another user: staff may."""
        return self.is_superuser or self.id == user_id

    def may_act_for_owner(self, owner: Any) -> ColumnElement[bool]:
        """The same as a condition on the column that holds the owner of a row."""
        return true() if self.is_superuser else col(owner) == self.id


@cache
def any_caller(is_superuser: bool) -> Caller:
    """A caller for conditions that are built once for all staff users, or all customers: the id is a `bindparam`."""
    caller_id: Any = bindparam("caller_id", type_=BigInt)
    return Caller(id=caller_id, username="", is_superuser=is_superuser, token_id=0)
