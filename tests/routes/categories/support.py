"""The tree of categories, as it is in the database."""

from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.category import Category


async def parents(session: AsyncSession) -> dict[int, int | None]:
    """The parent id of each category in the database, by the id of the category."""
    return dict((await session.exec(select(Category.id, Category.parent_id))).all())
