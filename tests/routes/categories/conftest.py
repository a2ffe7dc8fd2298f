"""The shop that all tests of /categories begin with."""

import pytest
from sqlmodel import delete
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.category import Category


@pytest.fixture(autouse=True)
async def no_categories(session: AsyncSession) -> None:
    """Delete the categories that a new shop begins with."""
    await session.exec(delete(Category))
