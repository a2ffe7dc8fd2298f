"""What a new database needs before the shop can be served: its tables, and one staff user."""

import secrets
import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy.exc import IntegrityError
from sqlmodel import col, select

from api.auth.registration import new_user
from api.database.sessions import Database
from api.models.user import User, UserCreate
from api.settings import Settings

ALEMBIC_INI = Path(__file__).parent.parent.parent / "alembic.ini"


def check_file(settings: Settings) -> None:
    """Open SQLite's file once without aiosqlite, whose thread would outlive a failed event loop.

    Raises:
        OSError: The file cannot be opened.
    """
    url = settings.database
    if url.get_backend_name() == "sqlite":
        try:
            sqlite3.connect(str(url.database)).close()
        except sqlite3.Error as error:
            raise OSError(f"{url.database}: {error}") from error


def migrate(settings: Settings) -> None:
    """Bring the tables up to date. Runs an event loop of its own."""
    check_file(settings)
    config = Config(ALEMBIC_INI)
    config.attributes["settings"] = settings
    command.upgrade(config, "head")


async def create_first_admin(database: Database) -> UserCreate | None:
    """Add `admin` with a random password where there is no staff yet, and return it; otherwise return `None`.

    Raises:
        IntegrityError: There is no staff, but a customer has that username or e-mail address.
    """
    if await _has_staff(database):
        return None
    admin = UserCreate(username="admin", email="admin@example.com", password=strong_password())
    try:
        await add_staff_user(database, admin)
    except IntegrityError:
        if await _has_staff(database):  # another process added it
            return None
        raise
    return admin


async def add_staff_user(database: Database, data: UserCreate) -> None:
    """Add a staff user.

    Raises:
        IntegrityError: Another user has that username or e-mail address.
    """
    admin = await new_user(data, is_superuser=True)
    async with database.transaction() as session:
        session.add(admin)


async def _has_staff(database: Database) -> bool:
    async with database.reads() as session:
        staff = await session.exec(select(User.id).where(col(User.is_superuser)).limit(1))
        return staff.first() is not None


def strong_password() -> str:
    """128 random bits, with an upper-case letter and a digit."""
    while True:
        password = secrets.token_urlsafe(16)
        if any(letter.isupper() for letter in password) and any(letter.isdigit() for letter in password):
            return password
