"""Tags: what posts are filed under."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field as Limits
from sqlmodel import Field, SQLModel

from api.models.base import Schema, related
from api.models.searchable import Searchable
from api.models.texts import LINE
from api.models.types import ABSENT, Id, Slug
from api.models.versioned import Versioned

if TYPE_CHECKING:
    from api.models.post import Post

TagName = Annotated[str, Limits(min_length=1, max_length=50, examples=["Reviews"]), LINE]
TagSlug = Annotated[Slug, Limits(examples=["reviews"])]


class PostTag(SQLModel, table=True):
    """Which post has which tag."""

    __tablename__ = "post_tags"

    post_id: Id = Field(primary_key=True, foreign_key="posts.id", ondelete="CASCADE")
    tag_id: Id = Field(primary_key=True, foreign_key="tags.id", ondelete="CASCADE", index=True)


class TagBase(Schema):
    """What a client may write."""

    name: TagName
    slug: TagSlug | None = Field(default=None, description="Generated from the name if absent.")


class Tag(TagBase, Versioned, Searchable, table=True):
    """A word that posts are filed under. Staff keep the list of them."""

    __tablename__ = "tags"
    searched = ("name",)

    id: Id = Field(default=None, primary_key=True)
    name: TagName = Field(unique=True)
    slug: TagSlug = Field(unique=True)

    posts: list["Post"] = related("tags", link_model=PostTag)


class TagCreate(TagBase):
    pass


class TagUpdate(Schema):
    name: TagName = ABSENT
    slug: TagSlug = ABSENT


class TagRead(TagBase):
    id: Id
    slug: TagSlug
