"""New users: their passwords are hashed, and who asks often whether a name or an address is taken has to wait.

Where registrations are confirmed by mail, all that a stranger is told is the same for an address that has an account
and for one that has none, after the same work.
"""

from typing import Annotated, Any, Protocol

from fastapi import Depends, Request
from starlette.responses import Response

from api.auth.callers import OptionalUser, is_staff
from api.auth.passwords import hash_password
from api.auth.throttling import address_of, count_or_refuse
from api.database.sessions import Database
from api.models.attempt import AttemptKind
from api.models.base import utcnow
from api.models.mail import MailKind
from api.models.registration import Registration, RegistrationRead
from api.models.user import EmailChange, User, UserCreate
from api.rules.events import record_registrations
from api.rules.mailed_links import LIFETIMES
from api.rules.registration import ask_to_register
from api.settings import Settings
from api.web.app_state import AppDatabase, AppSettings
from api.web.problems import accepts, problems
from api.web.routing import accepted
from api.web.sessions import LaterWriteSession

REGISTERING = problems(409, 429) | accepts(RegistrationRead, setting="confirm_registrations")
"""What a registration can be answered with, beside the user."""

Registered = User | Response


class Register(Protocol):
    """Writes a user, or a registration that waits for its link; no lock is held while the password is hashed."""

    async def __call__(self, data: UserCreate) -> Registered: ...


async def new_user(data: UserCreate, **values: Any) -> User:
    """A row for a new user, which is not stored yet."""
    return User.model_validate(data, update={"hashed_password": await hash_password(data.password), **values})


async def _is_confirmed(user: OptionalUser, settings: AppSettings) -> bool:
    """Staff add users at once: they see anyway who has an account."""
    return settings.confirm_registrations and not is_staff(user)


ConfirmedByMail = Annotated[bool, Depends(_is_confirmed)]


async def _register(begin: LaterWriteSession, is_confirmed: ConfirmedByMail) -> Register:
    async def register_at_once(data: UserCreate) -> Registered:
        user = await new_user(data)
        session = await begin()
        session.add(user)
        await session.flush()
        record_registrations(session, [user])
        return user

    async def wait_for_link(data: UserCreate) -> Registered:
        expires_at = utcnow() + LIFETIMES[MailKind.REGISTRATION]
        values = {"hashed_password": await hash_password(data.password), "expires_at": expires_at}
        registration = Registration.model_validate(data, update=values)
        await ask_to_register(await begin(), registration)
        return accepted(registration, RegistrationRead)

    return wait_for_link if is_confirmed else register_at_once


async def _throttle(request: Request, user: OptionalUser, database: AppDatabase, settings: AppSettings) -> None:
    """Count an attempt to take a name. Staff, who see all users anyway, are not counted."""
    if user is None or not user.is_superuser:
        subject = address_of(request) if user is None else f"id {user.id}"
        async with database.transaction() as session:
            await count_or_refuse(session, {AttemptKind.REGISTRATION: subject}, settings)


async def _throttle_mails(
    data: UserCreate, is_confirmed: ConfirmedByMail, database: AppDatabase, settings: AppSettings
) -> None:
    """Count a mail to an address. One that has an account is counted like any other."""
    if is_confirmed:
        await _count_mail(data.email, database, settings)


async def _throttle_new_address(data: EmailChange, database: AppDatabase, settings: AppSettings) -> None:
    if settings.confirms_addresses:
        await _count_mail(data.email, database, settings)


async def _count_mail(address: str, database: Database, settings: Settings) -> None:
    async with database.transaction() as session:
        await count_or_refuse(session, {AttemptKind.REGISTRATION_BY_EMAIL: f"email {address}"}, settings)


Throttled = Depends(_throttle)
"""For `dependencies=` of a route, after the check of permission: a forbidden request is not counted."""

ThrottledMails = Depends(_throttle_mails)
"""The same for a route that has a mail sent to the address that it is given."""

ThrottledNewAddress = Depends(_throttle_new_address)
"""The same where a user gives another address."""

Registering = Annotated[Register, Depends(_register)]
