"""Posts: what authors publish."""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Optional

from pydantic import AwareDatetime
from sqlalchemy import ColumnElement
from sqlmodel import Field, col, or_

from api.models.base import Id, Schema, Slug, Timestamps, check, one_of, related, utcnow
from api.models.columns import Choice
from api.models.tag import PostTag, TagRead
from api.models.user import UserRead, UserSummary

if TYPE_CHECKING:
    from api.models.tag import Tag
    from api.models.user import User


class PostStatus(StrEnum):
    DRAFT = "draft"
    PUBLISHED = "published"
    ARCHIVED = "archived"


class PostBase(Schema):
    """What a client may write."""

    title: str = Field(min_length=1, max_length=200, schema_extra={"examples": ["Ten headphones, compared"]})
    slug: Slug | None = Field(
        default=None,
        description="Made from the title when absent.",
        schema_extra={"examples": ["ten-headphones-compared"]},
    )
    content: str = Field(min_length=1, max_length=50_000, schema_extra={"examples": ["We listened for a month."]})
    status: PostStatus = Field(default=PostStatus.DRAFT, sa_type=Choice(PostStatus), index=True)


class Post(PostBase, Timestamps, table=True):
    """An article. The public sees published ones; its author and staff see it in every status."""

    __tablename__ = "posts"
    __table_args__ = (one_of("status", PostStatus), check("view_count", "view_count >= 0"))

    id: Id = Field(default=None, primary_key=True)
    slug: Slug = Field(unique=True)
    author_id: Id = Field(foreign_key="users.id", ondelete="CASCADE", index=True)
    view_count: int = Field(default=0)
    published_at: AwareDatetime | None = None

    author: Optional["User"] = related("posts")
    tags: list["Tag"] = related("posts", link_model=PostTag, order_by="Tag.name")

    @classmethod
    def visible_to(cls, user: "User | None") -> ColumnElement[bool]:
        """The posts that somebody may see, as a condition."""
        published = col(cls.status) == PostStatus.PUBLISHED
        return published if user is None else or_(published, user.sees(cls.author_id))

    def note_publication(self) -> None:
        """Remember when it was first published; later changes of status leave that be."""
        if self.status is PostStatus.PUBLISHED and self.published_at is None:
            self.published_at = utcnow()


class PostCreate(PostBase):
    tags: list[Slug] = Field(
        default_factory=list, max_length=20, description="Slugs of tags.", schema_extra={"examples": [["reviews"]]}
    )


class PostUpdate(Schema):
    title: str = Field(default=None, min_length=1, max_length=200, schema_extra={"examples": ["Twelve headphones"]})
    slug: Slug = Field(default=None, schema_extra={"examples": ["ten-headphones-compared"]})
    content: str = Field(default=None, min_length=1, max_length=50_000, schema_extra={"examples": ["Two more came."]})
    status: PostStatus = Field(default=None, schema_extra={"examples": ["published"]})
    tags: list[Slug] = Field(default=None, max_length=20, schema_extra={"examples": [["reviews"]]})


class PostSummary(Schema):
    """A post without its text, for lists."""

    id: Id
    title: str = Field(schema_extra={"examples": ["Ten headphones, compared"]})
    slug: Slug = Field(schema_extra={"examples": ["ten-headphones-compared"]})
    status: PostStatus
    view_count: int = Field(schema_extra={"examples": [314]})
    published_at: datetime | None
    created_at: datetime
    updated_at: datetime
    tags: list[TagRead]


class PostListed(PostSummary):
    author: UserSummary


class PostRead(PostListed):
    content: str = Field(schema_extra={"examples": ["We listened for a month."]})


class UserReadWithPosts(UserRead):
    posts: list[PostSummary]
