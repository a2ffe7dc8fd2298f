"""Users in the database: how they stand there, what belongs to them, and what is left of an erased one."""

from typing import Any

from sqlmodel import SQLModel, col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.idempotency_key import IdempotencyKey
from api.models.notification import Notification
from api.models.post import Post
from api.models.token import Token, TokenKind
from api.models.user import User
from tests.factories import a_notification, a_post, a_token, an_idempotency_key

OWNERS: dict[type[SQLModel], Any] = {
    Token: Token.user_id,
    Notification: Notification.user_id,
    IdempotencyKey: IdempotencyKey.user_id,
    Post: Post.author_id,
}
"""The tables whose rows are erased together with their user, and the column that names the user."""


async def stored_user(session: AsyncSession, user_id: int) -> User:
    """A user as the database has it now."""
    user = await session.get(User, user_id)
    assert isinstance(user, User), f"there is no user {user_id}"
    return user


async def count_rows(session: AsyncSession, table: type[SQLModel], *conditions: Any) -> int:
    return int((await session.exec(select(func.count()).select_from(table).where(*conditions))).one())


async def count_users(session: AsyncSession) -> int:
    return await count_rows(session, User)


async def count_active_staff(session: AsyncSession) -> int:
    return await count_rows(session, User, col(User.is_superuser), col(User.is_active))


async def give_belongings(session: AsyncSession, user: User) -> None:
    """Give a user one row in each table of `OWNERS`."""
    await a_token(session, user, TokenKind.KEY)
    await a_notification(session, user)
    await an_idempotency_key(session, user)
    await a_post(session, user)


async def count_belongings(session: AsyncSession, user: User) -> list[int]:
    """How many rows a user has in each table of `OWNERS`."""
    return [await count_rows(session, table, owner == user.id) for table, owner in OWNERS.items()]


def assert_anonymised(user: User) -> None:
    """Check that nothing in a user's row tells who the user was."""
    assert (user.username, user.email) == (f"erased-{user.id}", f"erased-{user.id}")
    assert (user.full_name, user.bio, user.last_login_at, user.hashed_password) == (None, None, None, "")
    assert not user.is_active, f"user {user.id} was erased and is still active"
    assert not user.is_superuser, f"user {user.id} was erased and is still staff"
    assert user.erased_at is not None, f"user {user.id} is not marked as erased"
