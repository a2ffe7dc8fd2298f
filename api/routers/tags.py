"""Tags of posts. Anyone can read them; staff manage them."""

from typing import Annotated

from fastapi import Depends
from sqlmodel import col, delete, select

from api.auth.callers import Staff
from api.models.tag import Tag, TagCreate, TagRead, TagUpdate
from api.reads.pages import read_page
from api.reads.rows import Read, read_one
from api.rules.slugs import free_slug
from api.rules.unique_values import flush_unique
from api.web.loading import PathId, get_or_404
from api.web.pagination import CursorPage, Page, SearchParams
from api.web.problems import problems
from api.web.routing import Router
from api.web.sessions import WriteSession

router = Router("/tags", tag="tags")


async def _tag_to_write(tag_id: PathId, session: WriteSession, staff: Staff) -> Tag:
    return await get_or_404(session, Tag, tag_id, lock=True)


TagToWrite = Annotated[Tag, Depends(_tag_to_write)]


@router.get("", response_model=Page[TagRead] | CursorPage[TagRead])
async def list_tags(query: SearchParams) -> Read:
    """List tags by name."""
    tags = select(Tag)
    if query.search is not None:
        tags = tags.where(Tag.matches(query.search))
    return read_page(tags, query, sort="name")


@router.get("/{id}", response_model=TagRead, responses=problems(404))
async def read_tag(tag_id: PathId) -> Read:
    """Read a tag."""
    return read_one(select(Tag).where(Tag.id == tag_id))


@router.post("", status_code=201, response_model=TagRead, responses=problems(409))
async def create_tag(data: TagCreate, session: WriteSession, staff: Staff) -> Tag:
    """Add a tag."""
    slug = await free_slug(session, Tag, data.slug, data.name)
    tag = Tag.model_validate(data, update={"slug": slug})
    await flush_unique(session, [tag], [data])
    return tag


@router.patch("/{id}", response_model=TagRead, responses=problems(404, 409))
async def update_tag(data: TagUpdate, tag: TagToWrite, session: WriteSession) -> Tag:
    """Change only the fields that are sent."""
    tag.sqlmodel_update(data.model_dump(exclude_unset=True))
    await flush_unique(session, [tag], [data])
    return tag


@router.delete("/{id}", status_code=204, responses=problems(404))
async def delete_tag(tag: TagToWrite, session: WriteSession) -> None:
    """Delete a tag; its posts stay."""
    await session.exec(delete(Tag).where(col(Tag.id) == tag.id))
