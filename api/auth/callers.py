"""Who is asking: the dependencies by which a route names its caller."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer
from fastapi.security.base import SecurityBase
from fastapi.security.utils import get_authorization_scheme_param
from sqlalchemy import Dialect
from sqlmodel import bindparam, col, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth.tokens import hash_token
from api.database.errors import DATABASE_ERRORS
from api.database.sessions import Database
from api.database.statements import Statement
from api.errors import Forbidden, Unauthorized, Unavailable
from api.models.base import utcnow
from api.models.token import Token
from api.models.user import Caller, User, UserRead
from api.reads.rows import RowAsJSON, as_json
from api.web.app_state import INVALID_TOKEN, database_of
from api.web.key_rules import demands_sign_in
from api.web.transactions import run_of
from api.web.watching import CALLER

STAFF_ONLY = "Only staff may do this."
SIGN_IN = "Sign in first: send a token from `POST /auth/token` as `Authorization: Bearer …`."

CALLERS = (
    select(User)
    .join(Token, col(Token.user_id) == col(User.id))
    .where(
        col(Token.token_hash) == bindparam("token_hash"), col(Token.expires_at) > bindparam("now"), col(User.is_active)
    )
)
CALLER_COLUMNS: list[Any] = [User.id, User.username, User.is_superuser, Token.id, Token.last_used_at]

# Almost every request runs one of these.
SELECT_CALLER = Statement(CALLERS.with_only_columns(*CALLER_COLUMNS))


@cache
def _select_profile(dialect: Dialect) -> Statement:
    """The same with all that the caller may read of the row, so that reading it takes no second statement."""
    return Statement(as_json(CALLERS, read=UserRead, dialect=dialect).add_columns(col(User.version), *CALLER_COLUMNS))


_bearer = OAuth2PasswordBearer(
    tokenUrl="auth/token", description="Sign in with a username or e-mail address and a password."
)


class _Token(SecurityBase):
    """A dependency that reads the token. One that depended on another would cost as much as a third of a statement."""

    model = _bearer.model
    scheme_name = _bearer.scheme_name


class _OptionalCaller(_Token):
    """Finds out who sends a request; nobody, where it comes without a token."""

    async def __call__(self, request: Request) -> Caller | None:
        return await run_of(request).once(_find_caller)


class _CurrentUser(_Token):
    """The same, and refuses whoever is not signed in."""

    async def __call__(self, request: Request) -> Caller:
        caller = await run_of(request).once(_find_caller)
        if caller is None:
            raise Unauthorized(SIGN_IN)
        return caller


class _Staff(_CurrentUser):
    """The same, and refuses whoever is no staff."""

    async def __call__(self, request: Request) -> Caller:
        caller = await super().__call__(request)
        if not caller.is_superuser:
            raise Forbidden(STAFF_ONLY)
        return caller


class _OwnProfile(_Token):
    """All that the caller may read of the own row; refuses whoever is not signed in."""

    async def __call__(self, request: Request) -> RowAsJSON:
        found = await _find(request, _select_profile(database_of(request).engine.dialect))
        if found is None:
            raise Unauthorized(SIGN_IN)
        _, (text, version) = found
        return RowAsJSON(text.encode(), version)


optional_caller = _OptionalCaller()
current_user = demands_sign_in(_CurrentUser())
staff = demands_sign_in(_Staff())
own_profile = demands_sign_in(_OwnProfile())

READ_TOKEN: frozenset[Callable[..., Any]] = frozenset({optional_caller, current_user, staff, own_profile})
DEMAND_TOKEN: frozenset[Callable[..., Any]] = frozenset({current_user, staff, own_profile})


async def _find_caller(request: Request) -> Caller | None:
    found = await _find(request, SELECT_CALLER)
    return found and found[0]


async def _find(request: Request, statement: Statement) -> tuple[Caller, Sequence[Any]] | None:
    """Who sends a request, and what else the statement asks for; `None` where it comes without a token."""
    scheme, secret = get_authorization_scheme_param(request.headers.get("Authorization"))
    if scheme.lower() != "bearer":
        return None
    run = run_of(request)
    rows = await run.fetch(statement, token_hash=hash_token(secret), now=utcnow())
    if not rows:
        raise Unauthorized(INVALID_TOKEN)
    *others, user_id, username, is_superuser, token_id, last_used_at = rows[0]
    caller = Caller(user_id, username, is_superuser, token_id)
    request.scope["state"][CALLER] = caller
    run.origin.user_id, run.origin.token_id = user_id, token_id
    if not _is_recent(last_used_at):
        await run.release_connection()
        await _record_use(database_of(request), caller, last_used_at)
    return caller, others


def _is_recent(last_used_at: datetime | None) -> bool:
    """Within the hour: `last_used_at` is no finer, so that reading costs no write."""
    return last_used_at is not None and utcnow() - last_used_at < timedelta(hours=1)


async def _record_use(database: Database, caller: Caller, last_used_at: datetime | None) -> None:
    """Record when a token was used, and in its user too, whom it may leave.

    A request neither fails nor waits for this; the next one records it otherwise.
    """
    if database.is_busy():
        return
    # Of many requests at once, one records it.
    unchanged = (col(Token.id) == caller.token_id, col(Token.last_used_at).is_not_distinct_from(last_used_at))
    now = utcnow()
    this = col(User.id) == caller.id
    of_user = update(User).where(this).values(last_active_at=now, updated_at=User.updated_at)
    try:
        async with database.transaction() as session:
            # On MariaDB an order of the user locks the row too. Whoever waits for it makes the next order wait as well.
            free = select(User.id).where(this).with_for_update(key_share=True, skip_locked=True)
            if (await session.exec(free)).first() is None:
                return
            await session.exec(of_user)
            await session.exec(update(Token).where(*unchanged).values(last_used_at=now))
    except (*DATABASE_ERRORS, Unavailable):
        return


async def caller_id(request: Request) -> int | None:
    """The id of the user who sends a request; `None` without a token. For `api/web/app_state.py`.

    Raises:
        Unauthorized: The token is invalid or has expired.
    """
    caller = await run_of(request).once(_find_caller)
    return caller.id if caller else None


def is_staff(user: Caller | None) -> bool:
    """Whether somebody is signed in as a staff user."""
    return user is not None and user.is_superuser


OptionalUser = Annotated[Caller | None, Depends(optional_caller)]
CurrentUser = Annotated[Caller, Depends(current_user)]
Staff = Annotated[Caller, Depends(staff)]
OwnProfile = Annotated[RowAsJSON, Depends(own_profile)]


async def tokens_of_staff(database: Database, token_ids: set[int]) -> set[int]:
    """Which of these tokens are valid and belong to staff."""
    valid = (col(Token.expires_at) > utcnow(), col(User.is_active), col(User.is_superuser))
    tokens = select(Token.id).join(User, col(Token.user_id) == col(User.id)).where(col(Token.id).in_(token_ids), *valid)
    async with database.reads() as session:
        return set((await session.exec(tokens)).all())


async def lock_caller(session: AsyncSession, caller: Caller) -> None:
    """Keep the caller's tokens from being revoked until the transaction ends; a new key would outlive them otherwise.

    Raises:
        Unauthorized: The user has been deactivated, or the token revoked, since the request came in.
    """
    user = select(User.id).where(User.id == caller.id, col(User.is_active)).with_for_update(read=True)
    locked = (await session.exec(user)).first()
    # Asked after the user is locked: a request that revokes a token locks its user first.
    token = (await session.exec(select(Token.id).where(Token.id == caller.token_id))).first()
    if locked is None or token is None:
        raise Unauthorized(INVALID_TOKEN)
