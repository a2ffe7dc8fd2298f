"""Proving who one is by a password: at sign-in, and again to change it. Wrong passwords are throttled.

A password is verified before the transaction of the route begins, which would otherwise hold its locks while a thread
hashes.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordRequestForm
from sqlalchemy import ColumnElement
from sqlmodel import col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth.callers import CurrentUser
from api.auth.passwords import hashing_slots, verify_password
from api.auth.throttling import Subjects, address_of, count, refuse_at_limit
from api.database.sessions import Database
from api.errors import Forbidden, Unauthorized, Unavailable
from api.models.attempt import AttemptKind
from api.models.texts import composed
from api.models.user import EmailChange, PasswordChange, User
from api.settings import Settings
from api.web.app_state import AppDatabase, AppSettings
from api.web.key_rules import may_lock_caller
from api.web.transactions import run_of

CHANGED_MEANWHILE = "Another request is changing this user. Try again shortly."


@dataclass(frozen=True)
class VerifiedUser:
    """A user whose password was right, and the hash to store: a new one where the parameters have risen."""

    user: User
    hashed_password: str


@dataclass(frozen=True)
class VerifiedCaller:
    """A caller whose password was right, and the hash by which it was."""

    id: int
    token_id: int
    hashed_password: str


async def _verified_sign_in(
    request: Request,
    form: Annotated[OAuth2PasswordRequestForm, Depends()],
    database: AppDatabase,
    settings: AppSettings,
) -> VerifiedUser:
    typed, password = composed(_storable(form.username)), _storable(form.password)
    async with database.reads() as session:
        users = (await session.exec(select(User).where(User.signs_in_by(typed)).order_by(col(User.id)))).all()
    user = users[0] if users else None
    subjects = {
        AttemptKind.SIGN_IN_BY_ACCOUNT: f"name {typed.lower()}",
        AttemptKind.SIGN_IN_BY_ADDRESS: address_of(request),
    }
    right, new_hash = await _verify(database, settings, subjects, password, user.hashed_password if user else None)
    if user is None or not right:
        raise Unauthorized("The username or the password is wrong.")
    run_of(request).origin.user_id = user.id
    return VerifiedUser(user, new_hash or user.hashed_password)


@dataclass(frozen=True)
class _Reauthentication:
    """A token alone, which can be stolen, must not be enough to take an account over."""

    user: CurrentUser
    database: AppDatabase
    settings: AppSettings

    async def by(self, password: str) -> VerifiedCaller:
        async with self.database.reads() as session:
            found = (await session.exec(select(User.hashed_password).where(User.id == self.user.id))).first()
        subjects = {AttemptKind.SIGN_IN_BY_ACCOUNT: f"id {self.user.id}"}
        right, _ = await _verify(self.database, self.settings, subjects, password, found)
        if found is None or not right:
            raise Forbidden("The current password is wrong.")
        return VerifiedCaller(self.user.id, self.user.token_id, found)


Reauthentication = Annotated[_Reauthentication, Depends()]


@may_lock_caller
async def _changing_password(data: PasswordChange, reauthentication: Reauthentication) -> VerifiedCaller:
    return await reauthentication.by(data.current_password)


@may_lock_caller
async def _changing_email(data: EmailChange, reauthentication: Reauthentication) -> VerifiedCaller:
    return await reauthentication.by(data.current_password)


VerifiedSignIn = Annotated[VerifiedUser, Depends(_verified_sign_in)]
PasswordChanger = Annotated[VerifiedCaller, Depends(_changing_password)]
EmailChanger = Annotated[VerifiedCaller, Depends(_changing_email)]


async def update_verified(session: AsyncSession, user: User | VerifiedCaller, **values: Any) -> None:
    """Change a user whose password is still the one that was right: no session outlives a change of the password.

    Raises:
        Unavailable: Another request changed the user since the password was verified.
    """
    change = update(User).where(*_unchanged(user)).values(**values)
    if (await session.exec(change)).rowcount == 0:
        raise Unavailable(CHANGED_MEANWHILE)


async def lock_verified(session: AsyncSession, user: VerifiedCaller) -> User:
    """Lock and return a user whose password is still the one that was right.

    Raises:
        Unavailable: Another request changed the user since the password was verified.
    """
    locked = select(User).where(*_unchanged(user)).with_for_update()
    found = (await session.exec(locked)).one_or_none()
    if found is None:
        raise Unavailable(CHANGED_MEANWHILE)
    return found


def _unchanged(user: User | VerifiedCaller) -> tuple[ColumnElement[bool], ...]:
    its = (col(User.id) == user.id, col(User.hashed_password) == user.hashed_password)
    return (*its, col(User.is_active).is_(True))


async def _verify(
    database: Database, settings: Settings, subjects: Subjects, password: str, hashed: str | None
) -> tuple[bool, str | None]:
    """Verify a password, unless too many were wrong before.

    A wrong one is counted before the next one has its turn: however many guess at once, no more are tried.
    """
    async with hashing_slots:
        async with database.reads() as session:
            await refuse_at_limit(session, subjects, settings)
        right, new_hash = await verify_password(password, hashed)
        if not right:
            async with database.transaction() as session:
                await count(session, subjects)
    return right, new_hash


def _storable(text: str) -> str:
    """A text without what no database can compare and no hash can hold: NUL, and lone surrogates."""
    return text.encode("utf-8", "replace").decode().replace("\0", "?")
