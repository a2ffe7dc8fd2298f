"""What several tests of /posts need."""

import httpx
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.post import Post
from api.models.tag import PostTag, Tag
from tests.factories import a_tag

POST_BODY = {"title": "Ten headphones, compared", "content": "We listened for a month."}
"""The JSON body that writes a post."""


async def some_tags(session: AsyncSession, *slugs: str) -> list[Tag]:
    """A tag with each slug; its name is the slug with a capital letter."""
    return [await a_tag(session, slug.title(), slug=slug) for slug in slugs]


async def stored_post(session: AsyncSession, post_id: int) -> Post:
    """A post as it is in the database."""
    post = await session.get(Post, post_id)
    assert isinstance(post, Post), f"post {post_id} is not in the database"
    return post


async def stored_tags(session: AsyncSession, post_id: int) -> list[str]:
    """The slugs of a post's tags in the database, sorted."""
    statement = select(Tag.slug).join(PostTag).where(PostTag.post_id == post_id).order_by(Tag.slug)
    return list((await session.exec(statement)).all())


async def count_posts(session: AsyncSession) -> int:
    """The number of posts in the database."""
    return len((await session.exec(select(Post.id))).all())


def titles(response: httpx.Response) -> list[str]:
    """The titles of the posts on a page."""
    return [item["title"] for item in response.json()["items"]]
