"""/posts: what authors publish. Anyone reads what is published; authors and staff write."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, Query, Request
from pydantic import AfterValidator
from sqlalchemy.orm import joinedload, load_only, selectinload
from sqlmodel import col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth import CurrentUser, OptionalUser
from api.database import Database, ReadSession, WriteSession, database_of
from api.database_errors import DatabaseError
from api.errors import Unprocessable, problems
from api.loading import PathId, PathText, QueryId, one_or_404, only
from api.models import Post, PostCreate, PostListed, PostRead, PostStatus, PostTag, PostUpdate, Tag, User, UserSummary
from api.models.base import utcnow, without_nul
from api.pagination import CursorPage, Page, PagingParams, paginate
from api.rules.slugs import free_slug
from api.search import SearchText, contains
from api.transactions import TransactionRoute

router = APIRouter(prefix="/posts", tags=["posts"], route_class=TransactionRoute)

with_author = joinedload(Post.author).load_only(*only(User, UserSummary), raiseload=True)  # type: ignore[arg-type]
with_all = (with_author, selectinload(Post.tags))  # type: ignore[arg-type]
without_text = load_only(*only(Post, PostListed), raiseload=True)


async def _post_to_write(post_id: PathId, session: WriteSession, user: CurrentUser) -> Post:
    return await one_or_404(session, Post, Post.id == post_id, user.sees(Post.author_id), lock=True)


PostToWrite = Annotated[Post, Depends(_post_to_write)]


@router.get("", response_model=Page[PostListed] | CursorPage[PostListed])
async def list_posts(
    session: ReadSession,
    user: OptionalUser,
    paging: PagingParams,
    status: Annotated[PostStatus | None, Query(description="Only posts with this status.")] = None,
    tag: Annotated[
        str | None,
        Query(max_length=120, description="Only posts with the tag of this slug."),
        AfterValidator(without_nul),
    ] = None,
    author_id: Annotated[QueryId | None, Query(description="Only this author's.")] = None,
    search: SearchText | None = None,
) -> Page[Post] | CursorPage[Post]:
    """List posts, the newest first. Drafts and archived ones are listed for their authors and for staff."""
    posts = select(Post).where(Post.visible_to(user)).options(without_text, *with_all)
    if status is not None:
        posts = posts.where(Post.status == status)
    if tag is not None:
        tagged = select(PostTag.post_id).join(Tag, col(PostTag.tag_id) == col(Tag.id)).where(Tag.slug == tag)
        posts = posts.where(col(Post.id).in_(tagged))
    if author_id is not None:
        posts = posts.where(Post.author_id == author_id)
    if search is not None:
        posts = posts.where(contains(search, Post.title, Post.content))
    return await paginate(session, posts, paging, model=Post)


async def _count_view(database: Database, post: Post) -> None:
    """Count a reading of a published post once it has been answered; a reader does not wait for a number."""
    try:
        async with database.transaction() as session:
            this = update(Post).where(col(Post.id) == post.id, col(Post.status) == PostStatus.PUBLISHED)
            await session.exec(this.values(view_count=Post.view_count + 1, updated_at=Post.updated_at))
    except DatabaseError:
        return


async def _counting_views(tasks: BackgroundTasks, request: Request) -> Callable[[Post], Post]:
    """Hands a post through, and has its reading counted after the answer."""

    def counted(post: Post) -> Post:
        tasks.add_task(_count_view, database_of(request), post)
        return post

    return counted


Counted = Annotated[Callable[[Post], Post], Depends(_counting_views)]


@router.get("/by-slug/{slug}", response_model=PostRead, responses=problems(404))
async def read_post_by_slug(slug: PathText, session: ReadSession, user: OptionalUser, counted: Counted) -> Post:
    """Read the post with a slug."""
    return counted(await one_or_404(session, Post, Post.slug == slug, Post.visible_to(user), options=with_all))


@router.get("/{id}", response_model=PostRead, responses=problems(404))
async def read_post(post_id: PathId, session: ReadSession, user: OptionalUser, counted: Counted) -> Post:
    """Read a post."""
    return counted(await one_or_404(session, Post, Post.id == post_id, Post.visible_to(user), options=with_all))


@router.post("", status_code=201, response_model=PostRead, responses=problems(409))
async def create_post(data: PostCreate, session: WriteSession, user: CurrentUser) -> Post:
    """Write a post, as a draft unless its status says otherwise."""
    slug = await free_slug(session, Post, data.slug, data.title)
    post = Post.model_validate(data.model_dump(exclude={"tags"}), update={"slug": slug, "author_id": user.id})
    return await _save(session, post, data.tags)


@router.put("/{id}", response_model=PostRead, responses=problems(404, 409))
async def replace_post(data: PostCreate, post: PostToWrite, session: WriteSession) -> Post:
    """Replace all that can be written of a post: what is absent is cleared, an absent slug is kept."""
    post.sqlmodel_update(data.model_dump(exclude={"tags"}), update={"slug": data.slug or post.slug})
    return await _save(session, post, data.tags)


@router.patch("/{id}", response_model=PostRead, responses=problems(404, 409))
async def update_post(data: PostUpdate, post: PostToWrite, session: WriteSession) -> Post:
    """Change only what is sent; `tags` replaces all of them."""
    post.sqlmodel_update(data.model_dump(exclude={"tags"}, exclude_unset=True))
    return await _save(session, post, data.tags)


async def _save(session: AsyncSession, post: Post, tags: list[str] | None) -> Post:
    """Write a post and, unless they are `None`, its tags; answer it as it is now."""
    post.note_publication()
    post.updated_at = utcnow()  # also where only its tags change
    session.add(post)
    await session.flush()
    if tags is not None:
        tag_ids = await _tag_ids(session, set(tags))
        await session.exec(delete(PostTag).where(col(PostTag.post_id) == post.id))
        session.add_all(PostTag(post_id=post.id, tag_id=tag_id) for tag_id in tag_ids)
        await session.flush()
    session.expunge(post)  # so that its tags are read anew
    return await one_or_404(session, Post, Post.id == post.id, options=with_all)


async def _tag_ids(session: AsyncSession, slugs: set[str]) -> list[int]:
    found = dict((await session.exec(select(Tag.slug, Tag.id).where(col(Tag.slug).in_(slugs)))).all())
    if missing := slugs - set(found):
        raise Unprocessable("body.tags", f"there is no tag {min(missing)}")
    return sorted(found.values())


@router.delete("/{id}", status_code=204, responses=problems(404))
async def delete_post(post: PostToWrite, session: WriteSession) -> None:
    """Delete a post."""
    await session.exec(delete(Post).where(col(Post.id) == post.id))
