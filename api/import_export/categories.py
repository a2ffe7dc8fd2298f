"""Importing categories: a row may name a parent that stands further down in the file, so parents are set at the end."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from sqlalchemy.orm.exc import StaleDataError
from sqlmodel.ext.asyncio.session import AsyncSession

from api.import_export.references import REFERENCES
from api.import_export.staging import Staged, Staging
from api.models.category import Category
from api.rules import category_tree
from api.rules.slugs import free_slugs

ROWS_AT_A_TIME = 500

PARENT = "parent_id"


async def add(session: AsyncSession, rows: Sequence[Any], user_id: int | None, staging: Staging) -> None:
    """Add categories without their parents."""
    wanted = [(each.get("slug"), each["name"]) for each in rows]
    slugs = await free_slugs(session, Category, wanted, staging.has_slug)
    added = [{**each, "slug": slug, PARENT: None} for each, slug in zip(rows, slugs, strict=True)]
    session.add_all(Category(**each) for each in added)
    await session.flush()


async def set_parents(session: AsyncSession, staging: Staging) -> None:
    """Give all staged categories their parents.

    Raises:
        StaleDataError: Another request took a category away that the file names.
        Conflict: A category would be its own ancestor, or the tree would get too deep.
    """
    moves: dict[int, int | None] = {}
    (parent,) = REFERENCES[Category]
    for rows in chain(staging.new(ROWS_AT_A_TIME), staging.changed(ROWS_AT_A_TIME)):
        moved = [each for each in rows if _is_moved(each)]
        texts = {each.values["name"] for each in moved if each.row_id is None}
        texts |= {each.later[PARENT] for each in moved if PARENT in each.later}
        by_slug, by_name = await parent.ids(session, texts)
        for each in moved:
            try:
                own = by_name[each.values["name"]] if each.row_id is None else each.row_id
                text = each.later.get(PARENT)
                moves[own] = each.values[PARENT] if text is None else by_slug.get(text) or by_name[text]
            except KeyError:
                raise StaleDataError("A category is gone that was there when the file was checked.") from None
    if moves:
        await category_tree.move(session, moves)


def _is_moved(row: Staged) -> bool:
    """A new row has no parent until it is moved."""
    if PARENT in row.later:
        return True
    return PARENT in row.values and not (row.row_id is None and row.values[PARENT] is None)
