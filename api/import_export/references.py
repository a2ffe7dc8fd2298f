"""Foreign keys that a file has as a text that people read: `category` is the slug of `category_id`.

So a file says it once, and can be taken to another shop, whose ids differ.
"""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlmodel import or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.category import Category
from api.models.product import Product


class Reference(NamedTuple):
    name: str
    field: str
    target: type[Any]

    async def ids(self, session: AsyncSession, texts: Collection[str]) -> tuple[dict[str, int], dict[str, int]]:
        """The ids of the rows that these texts name, by their slugs and by their names."""
        if not texts:
            return {}, {}
        columns = select(self.target.id, self.target.slug, self.target.name)
        named = columns.where(or_(self.target.slug.in_(texts), self.target.name.in_(texts)))
        found = (await session.exec(named)).all()
        return {slug: row_id for row_id, slug, _ in found}, {name: row_id for row_id, _, name in found}


REFERENCES: dict[type[Any], Sequence[Reference]] = {
    Product: [Reference("category", "category_id", Category)],
    Category: [Reference("parent", "parent_id", Category)],
}
