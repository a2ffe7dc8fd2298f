"""The category tree: it never has a cycle, however many move its branches at once."""

from collections.abc import Sequence

from sqlalchemy import CTE
from sqlmodel import col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.errors import Conflict, Unprocessable
from api.models import Category, CategoryRead, CategoryTree


async def check_parent(session: AsyncSession, parent_id: int | None, *, of: int | None = None) -> None:
    """Hold the tree still and see that `parent_id` can be the parent of category `of` (`None` for a new one).

    All rows are locked, in ascending order: two moves that look harmless alone could close a cycle together.

    Raises:
        Unprocessable: There is no such parent.
        Conflict: The parent is the category itself or below it.
    """
    if parent_id is None:
        return
    parents = await _locked_parents(session)
    if parent_id not in parents:
        raise Unprocessable("body.parent_id", "there is no such category")
    ancestor: int | None = parent_id
    while ancestor is not None and of is not None:
        if ancestor == of:
            raise Conflict("A category cannot be its own ancestor.")
        ancestor = parents[ancestor]


async def _locked_parents(session: AsyncSession) -> dict[int, int | None]:
    statement = select(Category.id, Category.parent_id).order_by(col(Category.id)).with_for_update(key_share=True)
    return dict((await session.exec(statement)).all())


async def remove(session: AsyncSession, category: Category) -> None:
    """Delete a category. Its children move up to its parent; its products are left without a category."""
    await _locked_parents(session)
    parent_id = (await session.exec(select(Category.parent_id).where(Category.id == category.id))).one()
    children = update(Category).where(col(Category.parent_id) == category.id)
    await session.exec(children.values(parent_id=parent_id))
    await session.exec(delete(Category).where(col(Category.id) == category.id))


def branch(category_id: int) -> CTE:
    """The ids of a category and of all below it."""
    below = select(col(Category.id)).where(Category.id == category_id).cte("branch", recursive=True)
    return below.union_all(select(col(Category.id)).join(below, col(Category.parent_id) == below.c.id))


def as_tree(categories: Sequence[Category]) -> list[CategoryTree]:
    """Nest categories below their parents, each level in the order given."""
    nodes = {each.id: CategoryTree(**CategoryRead.model_validate(each).model_dump()) for each in categories}
    roots: list[CategoryTree] = []
    for node in nodes.values():
        siblings = nodes[node.parent_id].children if node.parent_id is not None else roots
        siblings.append(node)
    return roots
