"""Slugs: names as they stand in URLs."""

import secrets
from collections.abc import Callable, Sequence
from typing import Any

from slugify import slugify
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

MAX_SLUG_LENGTH = 100
"""Characters of a slug that is made from a name; the column's other 20 leave room for the random digits."""

RANDOM_BYTES = 3
"""Six hexadecimal digits: of a thousand rows of one name, two get the same digits once in 34 times."""


async def free_slugs(
    session: AsyncSession,
    model: type[Any],
    wanted: Sequence[tuple[str | None, str]],
    is_reserved: Callable[[str], bool] = lambda _: False,
) -> list[str]:
    """A slug for each pair of a slug, if the client sent one, and a name from which it is made otherwise.

    A made slug gets random digits at its end where another row has it, or is about to get it (`is_reserved`). A sent
    one is left to the unique constraint, which refuses a duplicate.
    """
    made = [slug or slugify(name, max_length=MAX_SLUG_LENGTH) or model.__name__.lower() for slug, name in wanted]
    taken = set((await session.exec(select(model.slug).where(col(model.slug).in_(made)))).all())
    free = []
    for slug, (given, _) in zip(made, wanted, strict=True):
        is_free = given or not (slug in taken or is_reserved(slug))
        free.append(slug if is_free else f"{slug}-{secrets.token_hex(RANDOM_BYTES)}")
        taken.add(slug)
    return free


async def free_slug(session: AsyncSession, model: type[Any], slug: str | None, name: str) -> str:
    """A slug for one row: see `free_slugs`."""
    (free,) = await free_slugs(session, model, [(slug, name)])
    return free
