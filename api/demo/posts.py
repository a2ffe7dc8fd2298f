"""Writes the posts of the shop's staff, with their tags."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random

from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.demo.arrivals import DAYS
from api.demo.content import articles
from api.models.base import at
from api.models.post import Post, PostStatus
from api.models.tag import PostTag, Tag
from api.rules.slugs import free_slug

VIEWS_PER_DAY = 9


async def add_posts(session: AsyncSession, seed: int, until: datetime, staff: Sequence[int]) -> None:
    """Add them where the shop has no posts yet."""
    if (await session.exec(select(Post.id).limit(1))).first() is not None:
        return
    chance = Random(f"{seed} posts")
    with at(until - timedelta(days=DAYS)):
        tag_ids = {name: await _tag_id(session, name) for name in articles().tags}
    for article in sorted(articles().posts, key=lambda each: -each.days):
        with at(until - timedelta(days=article.days, minutes=chance.randrange(600))):
            slug = await free_slug(session, Post, None, article.title)
            post = Post(title=article.title, slug=slug, content=article.content.strip(), author_id=chance.choice(staff))
            if article.status is not PostStatus.DRAFT:
                post.status = PostStatus.PUBLISHED
                post.note_publication()
                post.view_count = chance.randrange(VIEWS_PER_DAY * article.days)
            post.status = article.status
            session.add(post)
            await session.flush()
            session.add_all(PostTag(post_id=post.id, tag_id=tag_ids[name]) for name in article.tags)
            await session.flush()


async def _tag_id(session: AsyncSession, name: str) -> int:
    """The id of a tag, which is added now if there is none of this name."""
    found = (await session.exec(select(Tag.id).where(col(Tag.name) == name))).first()
    if found is not None:
        return found
    tag = Tag(name=name, slug=await free_slug(session, Tag, None, name))
    session.add(tag)
    await session.flush()
    return tag.id
