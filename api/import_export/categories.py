"""Importing categories: a row may name a parent that stands further down in the file, so parents are set at the end."""

from collections.abc import Sequence
from typing import Any

from sqlmodel import col, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.import_export.staging import Staging
from api.models.category import Category
from api.rules import category_tree
from api.rules.slugs import free_slugs

ROWS_AT_A_TIME = 500

PARENT = "parent_id"


async def add(session: AsyncSession, rows: Sequence[Any], user_id: int | None) -> None:
    """Add categories without their parents."""
    slugs = await free_slugs(session, Category, [(each.get("slug"), each["name"]) for each in rows])
    added = [{**each, "slug": slug, PARENT: None} for each, slug in zip(rows, slugs, strict=True)]
    session.add_all(Category(**each) for each in added)
    await session.flush()


async def set_parents(session: AsyncSession, staging: Staging) -> None:
    """Give all staged categories their parents.

    Raises:
        Conflict: A category would be its own ancestor, or the tree would get too deep.
    """
    moves: dict[int, int | None] = {}
    for rows in (*staging.new(ROWS_AT_A_TIME), *staging.changed(ROWS_AT_A_TIME)):
        named = [each for each in rows if PARENT in each.later or PARENT in each.values]
        texts = {each.values["name"] for each in named if each.row_id is None} | {
            each.later[PARENT] for each in named if PARENT in each.later
        }
        by_slug, by_name = await _ids(session, texts)
        for each in named:
            own = by_name[each.values["name"]] if each.row_id is None else each.row_id
            text = each.later.get(PARENT)
            moves[own] = each.values[PARENT] if text is None else by_slug.get(text) or by_name[text]
    if moves:
        await category_tree.move(session, moves)


async def _ids(session: AsyncSession, texts: set[str]) -> tuple[dict[str, int], dict[str, int]]:
    """The ids of categories by their slugs and by their names."""
    columns = select(Category.id, Category.slug, Category.name)
    found = (await session.exec(columns.where(or_(col(Category.slug).in_(texts), col(Category.name).in_(texts))))).all()
    return {slug: row_id for row_id, slug, _ in found}, {name: row_id for row_id, _, name in found}
