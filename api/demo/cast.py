"""Who can sign in to the demo: three staff users, and the customer who was there first."""

from datetime import datetime

from sqlmodel import col, update

from api.auth.passwords import hash_password
from api.database.sessions import Database
from api.demo.fill import FIRST_JOINED
from api.models.base import at
from api.models.user import User

ADMIN, CUSTOMER = "admin", "johndoe"
STAFF = {ADMIN: "Alex Morgan", "ines": "Inês Duarte", "jonas": "Jonas Berg"}


async def add_cast(database: Database, until: datetime) -> None:
    """Add them without a password."""
    async with database.transaction() as session:
        with at(until - FIRST_JOINED):
            for username, full_name in {**STAFF, CUSTOMER: "John Doe"}.items():
                email, is_staff = f"{username}@example.com", username in STAFF
                user = User(username=username, email=email, full_name=full_name, hashed_password="")
                user.is_superuser = is_staff
                session.add(user)


async def admit(database: Database, password: str) -> None:
    """Have all of them sign in with this password."""
    hashed = await hash_password(password)
    async with database.transaction() as session:
        cast = update(User).where(col(User.username).in_([*STAFF, CUSTOMER]))
        await session.exec(cast.values(hashed_password=hashed, is_active=True))
