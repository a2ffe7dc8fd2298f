"""Users: customers and, where `is_superuser` is set, staff."""

import re
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, AwareDatetime, StringConstraints
from pydantic import Field as Limits
from sqlalchemy import ColumnElement, true
from sqlmodel import Field, col

from api.models.base import Email, Flag, Id, Schema, Timestamps, related, utcnow

if TYPE_CHECKING:
    from api.models.order import Order
    from api.models.post import Post

Username = Annotated[str, Limits(min_length=3, max_length=50, pattern=r"^[A-Za-z0-9_]+$", examples=["johndoe"])]


def _strong(password: str) -> str:
    if not re.search(r"[A-Z]", password) or not re.search(r"[0-9]", password):
        raise ValueError("needs at least one upper-case letter and one digit")
    return password


STRONG = r"^[^\x00]*([A-Z][^\x00]*[0-9]|[0-9][^\x00]*[A-Z])[^\x00]*$"
"""What `_strong` asks for, as clients and their generators can read it."""

AsTyped = Annotated[str, StringConstraints(strip_whitespace=False)]
Password = Annotated[
    AsTyped,
    Limits(min_length=8, max_length=128),
    AfterValidator(_strong),
    Limits(examples=["SecurePass123"], json_schema_extra={"pattern": STRONG}),
]


class UserBase(Schema):
    """What a client may write."""

    username: Username
    email: Email
    full_name: str | None = Field(default=None, max_length=100, schema_extra={"examples": ["John Doe"]})
    bio: str | None = Field(default=None, max_length=500, schema_extra={"examples": ["Listens to everything."]})


class User(UserBase, Timestamps, table=True):
    """A person who signs in. Erasing one who has orders or money keeps the row and forgets the person."""

    __tablename__ = "users"

    id: Id = Field(default=None, primary_key=True)
    username: Username = Field(unique=True)
    email: Email = Field(unique=True)
    is_active: bool = Field(default=True)
    is_superuser: bool = Field(default=False)
    hashed_password: str = Field(max_length=255)
    last_login_at: AwareDatetime | None = None
    erased_at: AwareDatetime | None = None

    posts: list["Post"] = related("author", order_by="Post.id")
    orders: list["Order"] = related("user")

    def may_act_for(self, user_id: int) -> bool:
        """Whether this user may see and change what belongs to another: only staff may."""
        return self.is_superuser or self.id == user_id

    def sees(self, owner: Any) -> ColumnElement[bool]:
        """The rows that this user may see, as a condition on the column that holds their owner."""
        return true() if self.is_superuser else col(owner) == self.id

    def erase(self) -> None:
        """Forget who this was. A hyphen is no letter of a username, so the new one can never be taken."""
        self.username = f"erased-{self.id}"
        self.email = f"erased-{self.id}"
        self.full_name = self.bio = self.last_login_at = None
        self.hashed_password = ""
        self.is_active = self.is_superuser = False
        self.erased_at = utcnow()


class UserCreate(UserBase):
    password: Password


class PasswordChange(Schema):
    current_password: AsTyped = Field(max_length=128, schema_extra={"examples": ["SecurePass123"]})
    new_password: Password = Field(schema_extra={"examples": ["SaferPass456"]})


class ProfileUpdate(Schema):
    """What users may change of themselves."""

    username: Username = Field(default=None)
    email: Email = Field(default=None)
    full_name: str | None = Field(default=None, max_length=100, schema_extra={"examples": ["John M. Doe"]})
    bio: str | None = Field(default=None, max_length=500, schema_extra={"examples": ["Back to vinyl."]})


class UserUpdate(ProfileUpdate):
    """What staff may change of anybody: the switches on top."""

    is_active: Flag = Field(default=None, schema_extra={"examples": [True]})
    is_superuser: Flag = Field(default=None, schema_extra={"examples": [False]})

    @property
    def needs_staff(self) -> bool:
        return bool({"is_active", "is_superuser"} & self.model_fields_set)


class UserSummary(Schema):
    """What others may see."""

    id: Id
    username: str = Field(schema_extra={"examples": ["johndoe"]})


class UserRead(UserSummary):
    email: str = Field(schema_extra={"examples": ["john@example.com"]})
    full_name: str | None = Field(schema_extra={"examples": ["John Doe"]})
    bio: str | None = Field(schema_extra={"examples": ["Listens to everything."]})
    is_active: bool
    is_superuser: bool
    last_login_at: datetime | None
    created_at: datetime
    updated_at: datetime


class ActiveCount(Schema):
    """How many users there are, erased ones left out."""

    total: int = Field(schema_extra={"examples": [120]})
    active: int = Field(schema_extra={"examples": [100]})
    inactive: int = Field(schema_extra={"examples": [20]})


class UsersChanged(Schema):
    """What a bulk operation did."""

    changed: int = Field(schema_extra={"examples": [3]})
