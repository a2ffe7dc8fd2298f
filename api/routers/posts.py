"""What authors publish. Only their authors and staff see drafts and archived posts."""

from collections.abc import Callable
from typing import Annotated

from fastapi import BackgroundTasks, Depends, Query, Request
from pydantic import AfterValidator, Field
from sqlalchemy import ColumnElement
from sqlmodel import col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth.callers import CurrentUser, OptionalUser
from api.database.errors import DATABASE_ERRORS
from api.database.sessions import Database
from api.errors import Unavailable, Unprocessable
from api.models.base import utcnow
from api.models.post import Post, PostCreate, PostListed, PostRead, PostStatus, PostUpdate
from api.models.tag import PostTag, Tag
from api.models.types import without_nul
from api.models.user import Caller, User, UserSummary
from api.reads.pages import read_page
from api.reads.rows import Read, read_one
from api.rules.slugs import free_slug
from api.rules.unique_values import flush_unique
from api.web.app_state import AppDatabase
from api.web.dispatch import shows_content
from api.web.loading import PathId, PathText, QueryId, columns_of, join_one, load_many, one_or_404
from api.web.pagination import CursorPage, Page, SearchableList
from api.web.problems import problems
from api.web.routing import Router
from api.web.sessions import WriteSession

router = Router("/posts", tag="posts")

with_author_and_tags = (join_one(Post.author, columns_of(User, UserSummary)), load_many(Post.tags))
TagFilter = Annotated[str, Field(max_length=120), AfterValidator(without_nul)]


class PostList(SearchableList):
    status: PostStatus | None = Field(default=None, description="Only posts with this status.")
    tag: TagFilter | None = Field(default=None, description="Only posts with the tag that has this slug.")
    author_id: QueryId | None = Field(default=None, description="Only posts of this author.")


async def _post_to_write(post_id: PathId, session: WriteSession, user: CurrentUser) -> Post:
    return await one_or_404(session, Post, Post.id == post_id, Post.editable_by(user), lock=True)


PostToWrite = Annotated[Post, Depends(_post_to_write)]


@router.get("", response_model=Page[PostListed] | CursorPage[PostListed])
async def list_posts(user: OptionalUser, query: Annotated[PostList, Query()]) -> Read:
    """List posts, the newest first. Drafts and archived posts are listed for their authors and for staff."""
    posts = select(Post).where(Post.visible_to(user))
    if query.status is not None:
        posts = posts.where(Post.status == query.status)
    if query.tag is not None:
        tagged = select(PostTag.post_id).join(Tag, col(PostTag.tag_id) == col(Tag.id)).where(Tag.slug == query.tag)
        posts = posts.where(col(Post.id).in_(tagged))
    if query.author_id is not None:
        posts = posts.where(Post.author_id == query.author_id)
    if query.search is not None:
        posts = posts.where(Post.matches(query.search))
    return read_page(posts, query)


async def _count_view(database: Database, post: ColumnElement[bool]) -> None:
    """Count a view of a published post after the answer, so that no reader waits for it."""
    try:
        async with database.transaction() as session:
            published = update(Post).where(post, col(Post.status) == PostStatus.PUBLISHED)
            await session.exec(published.values(view_count=Post.view_count + 1, updated_at=Post.updated_at))
    except (*DATABASE_ERRORS, Unavailable):
        return


async def _view_counter(
    request: Request, tasks: BackgroundTasks, database: AppDatabase
) -> Callable[[ColumnElement[bool]], None]:
    """Has a view of a post counted after the answer; a refusal counts none, nor does what shows no post."""

    def count(post: ColumnElement[bool]) -> None:
        if shows_content(request):
            tasks.add_task(_count_view, database, post)

    return count


CountView = Annotated[Callable[[ColumnElement[bool]], None], Depends(_view_counter)]


@router.get("/by-slug/{slug}", response_model=PostRead, responses=problems(404))
async def read_post_by_slug(slug: PathText, user: OptionalUser, count_view: CountView) -> Read:
    """Read a post by its slug."""
    this = col(Post.slug) == slug
    count_view(this)
    return read_one(select(Post).where(this, Post.visible_to(user)))


@router.get("/{id}", response_model=PostRead, responses=problems(404))
async def read_post(post_id: PathId, user: OptionalUser, count_view: CountView) -> Read:
    """Read a post."""
    this = col(Post.id) == post_id
    count_view(this)
    return read_one(select(Post).where(this, Post.visible_to(user)))


@router.post("", status_code=201, response_model=PostRead, responses=problems(409))
async def create_post(data: PostCreate, session: WriteSession, user: CurrentUser) -> Post:
    """Create a post. Without a status it is a draft."""
    slug = await free_slug(session, Post, data.slug, data.title)
    post = Post.model_validate(data.model_dump(exclude={"tags"}), update={"slug": slug, "author_id": user.id})
    return await _save(session, post, data, user)


@router.put("/{id}", response_model=PostRead, responses=problems(404, 409))
async def replace_post(data: PostCreate, post: PostToWrite, session: WriteSession, user: CurrentUser) -> Post:
    """Replace all writable fields of a post; absent fields are cleared, but an absent slug is kept."""
    post.sqlmodel_update(data.model_dump(exclude={"tags"}), update={"slug": data.slug or post.slug})
    return await _save(session, post, data, user)


@router.patch("/{id}", response_model=PostRead, responses=problems(404, 409))
async def update_post(data: PostUpdate, post: PostToWrite, session: WriteSession, user: CurrentUser) -> Post:
    """Change only the fields that are sent; `tags` replaces all tags."""
    post.sqlmodel_update(data.model_dump(exclude={"tags"}, exclude_unset=True))
    return await _save(session, post, data, user)


async def _save(session: AsyncSession, post: Post, data: PostCreate | PostUpdate, user: Caller) -> Post:
    """Write a post and, unless they are absent, its tags; return it as it is now."""
    post.note_publication()
    post.updated_at = utcnow()  # also where only its tags change
    with session.no_autoflush:  # the post is written below, where a duplicate is explained
        present = [] if data.tags is None else await _present_tag_ids(session, post)
        wanted = [] if data.tags is None else await _tag_ids(session, set(data.tags))
        if wanted != present:
            post.raise_version()
    await flush_unique(session, [post], [data], seen_by=Post.visible_to(user))
    if dropped := set(present) - set(wanted):
        await session.exec(delete(PostTag).where(col(PostTag.post_id) == post.id, col(PostTag.tag_id).in_(dropped)))
    session.add_all(PostTag(post_id=post.id, tag_id=tag_id) for tag_id in wanted if tag_id not in present)
    await session.flush()
    session.expunge(post)  # so that its tags are read again
    return await one_or_404(session, Post, Post.id == post.id, options=with_author_and_tags)


async def _tag_ids(session: AsyncSession, slugs: set[str]) -> list[int]:
    found = dict((await session.exec(select(Tag.slug, Tag.id).where(col(Tag.slug).in_(slugs)))).all())
    if missing := slugs - set(found):
        raise Unprocessable("body.tags", f"the tag {min(missing)} does not exist")
    return sorted(found.values())


async def _present_tag_ids(session: AsyncSession, post: Post) -> list[int]:
    tags = select(PostTag.tag_id).where(PostTag.post_id == post.id).order_by(col(PostTag.tag_id))
    return list((await session.exec(tags)).all())


@router.delete("/{id}", status_code=204, responses=problems(404))
async def delete_post(post: PostToWrite, session: WriteSession) -> None:
    """Delete a post."""
    await session.exec(delete(Post).where(col(Post.id) == post.id))
