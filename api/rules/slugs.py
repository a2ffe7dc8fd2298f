"""Slugs: a name as it stands in a URL."""

import secrets
from collections.abc import Sequence
from typing import Any

from slugify import slugify
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

LONGEST = 100


async def free_slugs(session: AsyncSession, model: type[Any], wanted: Sequence[tuple[str | None, str]]) -> list[str]:
    """A slug for each pair of a slug, if the client gave one, and a name to make it from otherwise.

    A slug that is made gets a few random digits behind it where another row has it; a given one is left to the unique
    constraint, which refuses it.
    """
    made = [slug or slugify(name, max_length=LONGEST) or model.__name__.lower() for slug, name in wanted]
    taken = set((await session.exec(select(model.slug).where(col(model.slug).in_(made)))).all())
    free = []
    for slug, (given, _) in zip(made, wanted, strict=True):
        free.append(slug if given or slug not in taken else f"{slug}-{secrets.token_hex(3)}")
        taken.add(slug)
    return free


async def free_slug(session: AsyncSession, model: type[Any], slug: str | None, name: str) -> str:
    """A slug for one row: see `free_slugs`."""
    (free,) = await free_slugs(session, model, [(slug, name)])
    return free
