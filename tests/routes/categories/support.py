"""What several tests of categories need."""

from typing import Any

from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.category import Category


def names(page: Any) -> list[str]:
    """The names of the categories or products on a page."""
    return [item["name"] for item in page["items"]]


async def parents(session: AsyncSession) -> dict[int, int | None]:
    """The parent id of each category in the database, by the id of the category."""
    return dict((await session.exec(select(Category.id, Category.parent_id))).all())
