"""/auth: sign in and out, change the password, keep API keys."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.security import OAuth2PasswordRequestForm
from sqlmodel import col, delete, or_, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth import CurrentCredentials, CurrentUser, hash_password, new_token, verify_password
from api.database import Database, ReadSession, WriteSession
from api.errors import Forbidden, NotFound, Unauthorized, Unavailable, problems
from api.loading import PathId
from api.models import AccessToken, PasswordChange, Token, TokenCreate, TokenKind, TokenRead, TokenReadOnce, User
from api.models.base import utcnow
from api.pagination import CursorPage, Page, PagingParams, paginate
from api.transactions import TransactionRoute

router = APIRouter(prefix="/auth", tags=["auth"], route_class=TransactionRoute)


@dataclass(frozen=True)
class _SignIn:
    """A user whose password was right, and its hash under today's parameters where those have risen."""

    user: User
    new_hash: str | None


async def _verified(request: Request, form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> _SignIn:
    """Verify before the route's transaction begins, which would otherwise hold its locks while a thread hashes."""
    database: Database = request.app.state.database
    name, password = _askable(form.username), _askable(form.password)
    async with database.reads() as session:
        named = or_(User.username == name, User.email == name.lower())
        user = (await session.exec(select(User).where(named, col(User.is_active)))).one_or_none()
    right, new_hash = await verify_password(password, user.hashed_password if user else None)
    if user is None or not right:
        raise Unauthorized("The username or the password is wrong.")
    return _SignIn(user, new_hash)


def _askable(text: str) -> str:
    """A text without what no database can be asked for and no hash made of: NUL, and halves of surrogate pairs."""
    return text.encode("utf-8", "replace").decode().replace("\0", "?")


@router.post("/token", responses=problems(401))
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


@router.post("/password", status_code=204, responses=problems(403))
async def change_password(data: PasswordChange, credentials: CurrentCredentials, session: WriteSession) -> None:
    """Change the password, which revokes every session but this one."""
    user = credentials.user
    right, _ = await verify_password(data.current_password, user.hashed_password)
    if not right:
        raise Forbidden("The current password is wrong.")
    await _store(session, user, hashed_password=await hash_password(data.new_password))
    others = delete(Token).where(col(Token.user_id) == user.id, col(Token.id) != credentials.token.id)
    await session.exec(others.where(col(Token.kind) == TokenKind.SESSION))


@router.get("/keys", response_model=Page[TokenRead] | CursorPage[TokenRead])
async def list_keys(user: CurrentUser, session: ReadSession, paging: PagingParams) -> Page[Token] | CursorPage[Token]:
    """List one's API keys, by name and prefix: the keys themselves are not kept."""
    keys = select(Token).where(Token.user_id == user.id, Token.kind == TokenKind.KEY)
    return await paginate(session, keys, paging, model=Token)


@router.post("/keys", status_code=201, responses=problems(409))
async def create_key(data: TokenCreate, user: CurrentUser, session: WriteSession) -> TokenReadOnce:
    """Make an API key. Its answer is the only one that ever holds it."""
    secret, key = new_token(user, TokenKind.KEY, data.name, timedelta(days=data.expires_in_days))
    session.add(key)
    await session.flush()
    return TokenReadOnce.model_validate(key, update={"token": secret})


@router.delete("/keys/{id}", status_code=204, responses=problems(404))
async def revoke_key(key_id: PathId, user: CurrentUser, session: WriteSession) -> None:
    """Revoke an API key."""
    own_key = (col(Token.id) == key_id, col(Token.user_id) == user.id, col(Token.kind) == TokenKind.KEY)
    revoked = delete(Token).where(*own_key).execution_options(synchronize_session=False)
    if (await session.exec(revoked)).rowcount == 0:
        raise NotFound("There is no such key.")
