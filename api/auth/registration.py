"""New users: their passwords are hashed, and who asks often whether a name or an address is taken has to wait."""

from typing import Any

from fastapi import Depends, Request

from api.auth.callers import OptionalUser
from api.auth.passwords import hash_password
from api.auth.throttling import address_of, count_or_refuse
from api.models.attempt import AttemptKind
from api.models.user import User, UserCreate
from api.web.app_state import AppDatabase, AppSettings


async def new_user(data: UserCreate, **values: Any) -> User:
    """A row for a new user, which is not stored yet."""
    return User.model_validate(data, update={"hashed_password": await hash_password(data.password), **values})


async def _throttle(request: Request, user: OptionalUser, database: AppDatabase, settings: AppSettings) -> None:
    """Count an attempt to take a name. Staff, who see all users anyway, are not counted."""
    if user is None or not user.is_superuser:
        subject = address_of(request) if user is None else f"id {user.id}"
        async with database.transaction() as session:
            await count_or_refuse(session, {AttemptKind.REGISTRATION: subject}, settings)


Throttled = Depends(_throttle)
"""For `dependencies=` of a route, after the check of permission: a forbidden request is not counted."""
