"""Slugs: a name as it stands in a URL."""

import secrets
from typing import Any

from slugify import slugify
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

LONGEST = 100


async def free_slug(session: AsyncSession, model: type[Any], name: str) -> str:
    """A slug made from a name, with a few random digits behind it where another row of the model has it."""
    slug = slugify(name, max_length=LONGEST) or model.__name__.lower()
    taken = (await session.exec(select(model.id).where(model.slug == slug))).first()
    return slug if taken is None else f"{slug}-{secrets.token_hex(3)}"
