"""A small shop of the demo."""

from datetime import UTC, datetime, timedelta

from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database
from api.demo.fill import Size, fill
from tests.factories import a_user

UNTIL = datetime(2026, 3, 28, 12, tzinfo=UTC)
OPENED = UNTIL - timedelta(days=800)
SMALL = Size(products=70, customers=30, orders=150)


async def fill_small(database: Database, session: AsyncSession, size: Size = SMALL, seed: int = 4) -> None:
    """Fill a shop with a staff user."""
    await a_user(session, "boss", is_superuser=True, created_at=OPENED, updated_at=OPENED)
    await fill(database, size, seed=seed, until=UNTIL)
