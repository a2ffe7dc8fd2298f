"""Changes of a profile: an address counts at once where the shop sends no mail, and where staff change that of others.

Otherwise it waits until its link is followed, so that nobody has an account by an address that is not theirs, and so
that an answer does not tell whether the address is taken.
"""

from typing import Annotated, Protocol

from fastapi import Depends
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth.callers import CurrentUser
from api.models.user import STAFF_FIELDS, ProfileUpdate, User, UserBase
from api.rules.email_change import ask_for_email, change_email
from api.web.app_state import AppSettings


class Change(Protocol):
    """Changes what users may change of themselves, and writes it."""

    async def __call__(self, session: AsyncSession, user: User, data: ProfileUpdate | UserBase) -> None: ...


async def _change_of(caller: CurrentUser, settings: AppSettings) -> Change:
    async def change(session: AsyncSession, user: User, data: ProfileUpdate | UserBase) -> None:
        is_partial = isinstance(data, ProfileUpdate)
        values = data.model_dump(exclude_unset=is_partial, exclude=STAFF_FIELDS)
        email = values.pop("email", None)
        user.sqlmodel_update(values)
        if email is not None and settings.confirms_addresses and caller.id == user.id:
            await ask_for_email(session, user, email)
        elif email is not None:
            await change_email(session, user, email, tells=settings.has_mail)
        await session.flush()

    return change


ChangeProfile = Annotated[Change, Depends(_change_of)]
