"""The category tree: it never has a cycle, however many requests move its branches at once."""

from collections.abc import Mapping

from sqlalchemy import CTE
from sqlmodel import col, literal, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.errors import Conflict, NotFound, Unprocessable
from api.models.category import Category
from api.models.product import Product

MAX_DEPTH = 100
"""Levels of the tree: the answer nests as deeply, and Python's JSON parser stops at about a thousand levels."""


async def check_parent(session: AsyncSession, parent_id: int | None, *, of: int | None = None) -> None:
    """Lock the tree, and check that `parent_id` can be the parent of the category `of` (`None` for a new one).

    All rows are locked, in ascending order: two moves that look harmless alone could close a cycle together.

    Raises:
        Unprocessable: There is no such parent.
        Conflict: The parent is the category itself or below it, or the tree would get too deep.
    """
    if parent_id is None:
        return
    parents = await _locked_parents(session)
    if parent_id not in parents:
        raise Unprocessable("body.parent_id", "there is no such category")
    above = _ancestors(parents, parent_id)
    if of is not None and of in above:
        raise Conflict("A category cannot be its own ancestor.")
    if len(above) + _height(parents, of) > MAX_DEPTH:
        raise Conflict(f"Categories can be nested at most {MAX_DEPTH} levels deep.")


async def move(session: AsyncSession, moves: Mapping[int, int | None]) -> None:
    """Give categories their parents, many at once: what counts is the tree that comes of all moves together.

    Raises:
        Conflict: A category would be its own ancestor, or the tree would get too deep.
    """
    parents = {**await _locked_parents(session), **moves}
    depths: dict[int, int] = {}
    for category_id in moves:
        _note_depths(parents, category_id, depths)
    for category_id, parent_id in sorted(moves.items()):
        move_one = update(Category).where(col(Category.id) == category_id)
        await session.exec(move_one.values(parent_id=parent_id))


async def lock(session: AsyncSession) -> None:
    """Lock the tree, before any other row of it is locked, where it will be moved later in the transaction."""
    await _locked_parents(session)


def _note_depths(parents: Mapping[int, int | None], category_id: int, depths: dict[int, int]) -> None:
    above: list[int] = []
    place: int | None = category_id
    while place is not None and place not in depths:
        if len(above) > MAX_DEPTH or place in above:
            raise Conflict("A category cannot be its own ancestor, nor be nested more than a hundred levels deep.")
        above.append(place)
        place = parents.get(place)
    depth = depths[place] if place is not None else 0
    for each in reversed(above):
        depth += 1
        depths[each] = depth
        if depth > MAX_DEPTH:
            raise Conflict(f"Categories can be nested at most {MAX_DEPTH} levels deep.")


async def _locked_parents(session: AsyncSession) -> dict[int, int | None]:
    """The parent of each category, all of them locked."""
    statement = select(Category.id, Category.parent_id).order_by(col(Category.id)).with_for_update(key_share=True)
    while True:
        parents = dict((await session.exec(statement)).all())
        # While this waited for a lock, a category may have been added and have become the parent of another one.
        if set(parents.values()) - {None} <= parents.keys():
            return parents


def _ancestors(parents: Mapping[int, int | None], category_id: int) -> list[int]:
    """A category and all its ancestors."""
    above = [category_id]
    while (parent_id := parents[above[-1]]) is not None:
        above.append(parent_id)
    return above


def _height(parents: Mapping[int, int | None], category_id: int | None) -> int:
    """How many levels a category and its descendants take; 1 for a new one."""
    if category_id is None:
        return 1
    paths = (_ancestors(parents, each) for each in parents)
    return 1 + max((path.index(category_id) for path in paths if category_id in path), default=0)


async def remove(session: AsyncSession, category: Category) -> None:
    """Delete a category. Its children move up to its parent; its products are left without a category.

    Raises:
        NotFound: Another request deleted it.
    """
    parents = await _locked_parents(session)
    if category.id not in parents:
        raise NotFound("There is no such category.")
    children = update(Category).where(col(Category.parent_id) == category.id)
    await session.exec(children.values(parent_id=parents[category.id]))
    # By a statement, and not by the foreign key, so that their versions rise.
    await session.exec(update(Product).where(col(Product.category_id) == category.id).values(category_id=None))
    # By the session, whose DELETE names the version: the category was read before the tree was locked.
    await session.delete(category)
    await session.flush()


def branch(category_id: int) -> CTE:
    """The ids of a category and of all its descendants."""
    below = select(col(Category.id)).where(Category.id == category_id).cte("branch", recursive=True)
    return below.union_all(select(col(Category.id)).join(below, col(Category.parent_id) == below.c.id))


def levels_below(parent_id: int | None, levels: int) -> CTE:
    """The ids of so many levels of categories below one; `None` is above the top."""
    top = col(Category.parent_id).is_(None) if parent_id is None else col(Category.parent_id) == parent_id
    below = select(col(Category.id), literal(1).label("level")).where(top).cte("levels", recursive=True)
    children = select(col(Category.id), below.c.level + 1).join(below, col(Category.parent_id) == below.c.id)
    return below.union_all(children.where(below.c.level < levels))
