"""New users: their passwords are hashed, and who asks often whether a name or an address is taken has to wait."""

import asyncio
from collections.abc import Sequence
from typing import Any

from fastapi import Depends, Request
from sqlmodel import col, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth.callers import OptionalUser
from api.auth.passwords import hash_password
from api.auth.throttling import address_of, count_or_refuse
from api.errors import Conflict
from api.models.attempt import AttemptKind
from api.models.user import User, UserCreate
from api.web.app_state import AppDatabase, AppSettings


async def new_user(data: UserCreate, **values: Any) -> User:
    """A row for a new user, which is not stored yet."""
    return User.model_validate(data, update={"hashed_password": await hash_password(data.password), **values})


async def new_users(session: AsyncSession, data: Sequence[UserCreate]) -> list[User]:
    """Rows for many new users, which are not stored yet.

    Raises:
        Conflict: One of them has the username or the e-mail address of another user; the message names it.
    """
    users = await asyncio.gather(*(new_user(each) for each in data))
    await _refuse_duplicates(session, data)
    return users


async def _refuse_duplicates(session: AsyncSession, data: Sequence[UserCreate]) -> None:
    """The unique constraints would only say that one of them is a duplicate."""
    usernames, emails = [each.username for each in data], [each.email for each in data]
    taken = select(User.username, User.email).where(or_(col(User.username).in_(usernames), col(User.email).in_(emails)))
    seen = {value for row in await session.exec(taken) for value in row}
    for index, each in enumerate(data):
        for field in ("username", "email"):
            if getattr(each, field) in seen:
                raise Conflict(f"body.{index}.{field}: a user with this {field} already exists")
        seen |= {each.username, each.email}


async def _throttle(request: Request, user: OptionalUser, database: AppDatabase, settings: AppSettings) -> None:
    """Count an attempt to take a name. Staff, who see all users anyway, are not counted."""
    if user is None or not user.is_superuser:
        subject = address_of(request) if user is None else f"id {user.id}"
        async with database.transaction() as session:
            await count_or_refuse(session, {AttemptKind.REGISTRATION: subject}, settings)


Throttled = Depends(_throttle)
"""For `dependencies=` of a route, after the check of permission: a forbidden request is not counted."""
