"""Tags: what posts are filed under."""

from typing import TYPE_CHECKING

from sqlmodel import Field, SQLModel

from api.models.base import Id, Schema, Slug, Timestamps, related

if TYPE_CHECKING:
    from api.models.post import Post


class PostTag(SQLModel, table=True):
    """Which post has which tag."""

    __tablename__ = "post_tags"

    post_id: Id = Field(primary_key=True, foreign_key="posts.id", ondelete="CASCADE")
    tag_id: Id = Field(primary_key=True, foreign_key="tags.id", ondelete="CASCADE", index=True)


class TagBase(Schema):
    """What a client may write."""

    name: str = Field(min_length=1, max_length=50, schema_extra={"examples": ["Reviews"]})
    slug: Slug | None = Field(
        default=None, description="Made from the name when absent.", schema_extra={"examples": ["reviews"]}
    )


class Tag(TagBase, Timestamps, table=True):
    """A word that staff keep."""

    __tablename__ = "tags"

    id: Id = Field(default=None, primary_key=True)
    name: str = Field(max_length=50, unique=True)
    slug: Slug = Field(unique=True)

    posts: list["Post"] = related("tags", link_model=PostTag)


class TagCreate(TagBase):
    pass


class TagUpdate(Schema):
    name: str = Field(default=None, min_length=1, max_length=50, schema_extra={"examples": ["Long reads"]})
    slug: Slug = Field(default=None, schema_extra={"examples": ["reviews"]})


class TagRead(TagBase):
    id: Id
    slug: Slug = Field(schema_extra={"examples": ["reviews"]})
