"""Posts: what authors publish."""

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, ClassVar, Optional

from pydantic import AwareDatetime
from pydantic import Field as Limits
from sqlalchemy import ColumnElement
from sqlmodel import Field, Index, col, or_

from api.models.base import NotAudited, Schema, check, one_of, related, utcnow
from api.models.columns import EnumValue
from api.models.searchable import Searchable
from api.models.tag import PostTag, TagRead, TagSlug
from api.models.texts import LINE, LINES
from api.models.types import ABSENT, READING_CHANGES, Id, Slug
from api.models.user import UserRead, UserSummary
from api.models.versioned import Versioned

if TYPE_CHECKING:
    from api.models.tag import Tag
    from api.models.user import Caller, User

Title = Annotated[str, Limits(min_length=1, max_length=200, examples=["Ten headphones, compared"]), LINE]
PostSlug = Annotated[Slug, Limits(examples=["ten-headphones-compared"])]
Content = Annotated[str, Limits(min_length=1, max_length=50_000, examples=["We listened for a month."]), LINES]
ViewCount = Annotated[int, READING_CHANGES, Limits(examples=[314])]
MAX_TAGS = 20
"""Tags of one post: more would describe nothing."""

TagSlugs = Annotated[list[TagSlug], Limits(max_length=MAX_TAGS, description="Slugs of tags.", examples=[["reviews"]])]


class PostStatus(StrEnum):
    DRAFT = "draft"
    PUBLISHED = "published"
    ARCHIVED = "archived"


POST_ELSEWHERE = {
    "author_id": "whoever creates a post is its author",
    "view_count": "the shop counts the views",
    "published_at": "it is set when `status` becomes `published`",
}


class PostBase(Schema):
    """What a client may write."""

    elsewhere: ClassVar[dict[str, str]] = POST_ELSEWHERE

    title: Title
    slug: PostSlug | None = Field(default=None, description="Generated from the title if absent.")
    content: Content
    status: PostStatus = Field(default=PostStatus.DRAFT, sa_type=EnumValue(PostStatus))


class Post(PostBase, Versioned, Searchable, table=True):
    """An article. The public sees published posts; their authors and staff see them in every status."""

    __tablename__ = "posts"
    not_audited: ClassVar[NotAudited] = {"view_count": "readers change it"}
    __table_args__ = (
        one_of("status", PostStatus),
        check("view_count", "view_count >= 0"),
        Index(None, "author_id", "id"),
        Index(None, "status", "id"),
    )
    searched = ("title", "content")

    id: Id = Field(default=None, primary_key=True)
    slug: PostSlug = Field(unique=True)
    author_id: Id = Field(foreign_key="users.id", ondelete="CASCADE")
    view_count: ViewCount = Field(default=0)
    published_at: AwareDatetime | None = None

    author: Optional["User"] = related("posts")
    tags: list["Tag"] = related("posts", link_model=PostTag, order_by="Tag.name")

    @classmethod
    def visible_to(cls, user: "Caller | None") -> ColumnElement[bool]:
        """The posts that a user, or anyone who is not signed in, may read, as a condition."""
        published = col(cls.status) == PostStatus.PUBLISHED
        return published if user is None else or_(published, cls.editable_by(user))

    @classmethod
    def editable_by(cls, user: "Caller") -> ColumnElement[bool]:
        """The posts that a user may change, as a condition."""
        return user.may_act_for_owner(cls.author_id)

    def note_publication(self) -> None:
        """Set `published_at` when the post is published for the first time; it never changes after that."""
        if self.status is PostStatus.PUBLISHED and self.published_at is None:
            self.published_at = utcnow()


class PostCreate(PostBase):
    tags: TagSlugs = []


class PostUpdate(Schema):
    elsewhere: ClassVar[dict[str, str]] = POST_ELSEWHERE

    title: Title = ABSENT
    slug: PostSlug = ABSENT
    content: Content = ABSENT
    status: Annotated[PostStatus, Limits(examples=["published"])] = ABSENT
    tags: TagSlugs = ABSENT


class PostSummary(Schema):
    """A post without its text, for lists."""

    id: Id
    title: Title
    slug: PostSlug
    status: PostStatus
    view_count: ViewCount
    published_at: datetime | None
    created_at: datetime
    updated_at: datetime
    tags: list[TagRead]


class PostListed(PostSummary):
    author: UserSummary


class PostRead(PostListed):
    content: Content


class UserReadWithPosts(UserRead):
    posts: list[PostSummary] = Field(description="The 100 newest, the oldest of them first.")
