"""Changes of a profile: an address counts at once where the shop sends no mail, and where staff change that of others.

Otherwise it takes the password, because whoever has the address can reset that, and waits until its link is followed,
so that nobody has an account by an address that is not theirs, and an answer does not tell whether it is taken.
"""

from typing import Annotated, Protocol

from fastapi import Depends
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth.callers import CurrentUser
from api.errors import Unprocessable
from api.models.user import STAFF_FIELDS, ProfileUpdate, User, UserBase
from api.rules.email_change import change_email
from api.web.app_state import AppSettings


class Change(Protocol):
    """Changes what users may change of themselves, and writes it."""

    async def __call__(self, session: AsyncSession, user: User, data: ProfileUpdate | UserBase) -> None: ...


async def _change_of(caller: CurrentUser, settings: AppSettings) -> Change:
    async def change(session: AsyncSession, user: User, data: ProfileUpdate | UserBase) -> None:
        is_partial = isinstance(data, ProfileUpdate)
        values = data.model_dump(exclude_unset=is_partial, exclude=STAFF_FIELDS)
        email = values.pop("email", None)
        if email not in (None, user.email) and settings.confirms_addresses and caller.id == user.id:
            raise Unprocessable("body.email", "is changed by `POST /auth/email`, which asks for the password")
        user.sqlmodel_update(values)
        if email is not None:
            await change_email(session, user, email, tells=settings.has_mail)
        await session.flush()

    return change


ChangeProfile = Annotated[Change, Depends(_change_of)]
