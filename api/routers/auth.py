"""/auth: sign in and out, change the password, keep API keys."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.security import OAuth2PasswordRequestForm
from sqlmodel import col, delete, or_, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth import (
    Credentials,
    CurrentCredentials,
    CurrentUser,
    client_address,
    hash_password,
    hashing_turn,
    new_token,
    verify_password,
)
from api.database import ReadSession, WriteSession, database_of
from api.errors import Forbidden, NotFound, Unauthorized, Unavailable, problems
from api.loading import PathId
from api.models import (
    AccessToken,
    AttemptKind,
    PasswordChange,
    Token,
    TokenCreate,
    TokenKind,
    TokenRead,
    TokenReadOnce,
    User,
)
from api.models.base import utcnow
from api.pagination import CursorPage, Page, PagingParams, paginate
from api.rules import throttle
from api.transactions import TransactionRoute

router = APIRouter(prefix="/auth", tags=["auth"], route_class=TransactionRoute)


@dataclass(frozen=True)
class _SignIn:
    """A user whose password was right, and its hash under today's parameters where those have risen."""

    user: User
    new_hash: str | None


async def _verify(
    request: Request, subjects: throttle.Subjects, password: str, hashed: str | None
) -> tuple[bool, str | None]:
    """Verify a password, unless too many were wrong before.

    A wrong one is counted before the next one has its turn, so that however many guess at once, no more are tried.
    """
    database = database_of(request)
    async with hashing_turn:
        async with database.reads() as session:
            await throttle.check(session, subjects, request.app.state.settings)
        right, new_hash = await verify_password(password, hashed)
        if not right:
            async with database.transaction() as session:
                await throttle.count(session, subjects)
    return right, new_hash


async def _verified(request: Request, form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> _SignIn:
    """Verify before the route's transaction begins, which would otherwise hold its locks while a thread hashes."""
    database = database_of(request)
    name, password = _askable(form.username), _askable(form.password)
    async with database.reads() as session:
        named = or_(User.username == name, User.email == name.lower())
        user = (await session.exec(select(User).where(named, col(User.is_active)))).one_or_none()
    if user and name != user.username and name.lower() != user.email:
        user = None  # MariaDB takes "ann" and "ann " for the same, and each spelling would be a counter of its own
    subjects = {
        AttemptKind.SIGN_IN_BY_ACCOUNT: f"name {name.lower()}",
        AttemptKind.SIGN_IN_BY_ADDRESS: throttle.address_of(client_address(request)),
    }
    right, new_hash = await _verify(request, subjects, password, user.hashed_password if user else None)
    if user is None or not right:
        raise Unauthorized("The username or the password is wrong.")
    return _SignIn(user, new_hash)


def _askable(text: str) -> str:
    """A text without what no database can be asked for and no hash made of: NUL, and halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode().replace("\0", "?")


@router.post("/token", responses=problems(401, 429))
async def sign_in(
    verified: Annotated[_SignIn, Depends(_verified)], session: WriteSession, request: Request
) -> AccessToken:
    """Sign in with a username or e-mail address and a password (OAuth2 password form)."""
    user, lifetime = verified.user, timedelta(days=request.app.state.settings.session_days)
    await _store(session, user, hashed_password=verified.new_hash or user.hashed_password, last_login_at=utcnow())
    secret, token = new_token(user, TokenKind.SESSION, "Session", lifetime)
    session.add(token)
    return AccessToken(access_token=secret, expires_in=int(lifetime.total_seconds()))


async def _store(session: AsyncSession, user: User, **values: Any) -> None:
    """Change a user who is still the one whose password was right: no session outlives a change made meanwhile."""
    same = (col(User.id) == user.id, col(User.is_active), col(User.hashed_password) == user.hashed_password)
    stored = update(User).where(*same).values(**values).execution_options(synchronize_session=False)
    if (await session.exec(stored)).rowcount == 0:
        raise Unavailable("This user is being changed; try again shortly.")


@router.delete("/token", status_code=204)
async def sign_out(credentials: CurrentCredentials, session: WriteSession) -> None:
    """Revoke the token that this request was sent with."""
    await session.exec(delete(Token).where(col(Token.id) == credentials.token.id))


async def _reauthenticated(data: PasswordChange, user: CurrentUser, request: Request) -> User:
    """The caller, who knows the password too: a token alone, which can be stolen, must not be enough to guess it."""
    subjects = {AttemptKind.SIGN_IN_BY_ACCOUNT: f"id {user.id}"}
    right, _ = await _verify(request, subjects, data.current_password, user.hashed_password)
    if not right:
        raise Forbidden("The current password is wrong.")
    return user


@router.post("/password", status_code=204, responses=problems(403, 429))
async def change_password(
    data: PasswordChange,
    user: Annotated[User, Depends(_reauthenticated)],
    credentials: CurrentCredentials,
    session: WriteSession,
) -> None:
    """Change the password, which revokes every session but this one."""
    await _store(session, user, hashed_password=await hash_password(data.new_password))
    others = delete(Token).where(col(Token.user_id) == user.id, col(Token.id) != credentials.token.id)
    await session.exec(others.where(col(Token.kind) == TokenKind.SESSION))


@router.get("/keys", response_model=Page[TokenRead] | CursorPage[TokenRead])
async def list_keys(user: CurrentUser, session: ReadSession, paging: PagingParams) -> Page[Token] | CursorPage[Token]:
    """List one's API keys, by name and prefix: the keys themselves are not kept."""
    keys = select(Token).where(Token.user_id == user.id, Token.kind == TokenKind.KEY)
    return await paginate(session, keys, paging, model=Token)


@router.post("/keys", status_code=201, responses=problems(409))
async def create_key(data: TokenCreate, credentials: CurrentCredentials, session: WriteSession) -> TokenReadOnce:
    """Make an API key. Its answer is the only one that ever holds it."""
    await _hold(session, credentials)
    secret, key = new_token(credentials.user, TokenKind.KEY, data.name, timedelta(days=data.expires_in_days))
    session.add(key)
    await session.flush()
    return TokenReadOnce.model_validate(key, update={"token": secret})


async def _hold(session: AsyncSession, credentials: Credentials) -> None:
    """Keep the caller's tokens from being revoked until the transaction ends; a key would outlive it otherwise."""
    caller = select(User.id).where(User.id == credentials.user.id, col(User.is_active)).with_for_update(read=True)
    held = (await session.exec(caller)).first()
    # Asked after the user is held: whoever revokes a token holds its user before.
    token = (await session.exec(select(Token.id).where(Token.id == credentials.token.id))).first()
    if held is None or token is None:
        raise Unauthorized("The token is not valid, or not any more: sign in again.")


@router.delete("/keys/{id}", status_code=204, responses=problems(404))
async def revoke_key(key_id: PathId, user: CurrentUser, session: WriteSession) -> None:
    """Revoke an API key."""
    own_key = (col(Token.id) == key_id, col(Token.user_id) == user.id, col(Token.kind) == TokenKind.KEY)
    revoked = delete(Token).where(*own_key).execution_options(synchronize_session=False)
    if (await session.exec(revoked)).rowcount == 0:
        raise NotFound("There is no such key.")
