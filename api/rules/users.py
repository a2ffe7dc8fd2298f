"""What happens to everything a user has when the user goes."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, String, and_, cast, exists, func, literal, not_, or_
from sqlmodel import SQLModel, col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.errors import Conflict, NotFound
from api.models import Account, IdempotencyKey, Notification, Order, Post, Token, Transaction, User, UserUpdate
from api.models.base import utcnow

OWNER_OF: dict[type[SQLModel], Any] = {
    Token: Token.user_id,
    Post: Post.author_id,
    Notification: Notification.user_id,
    IdempotencyKey: IdempotencyKey.user_id,
}
"""What is deleted with its user even where the books keep the user's row."""

MANY = 5_000
"""Users of one statement: each is a parameter, and PostgreSQL takes 65,535 of those, SQLite 32,766."""

BULK = {"synchronize_session": False}
"""No row of a bulk operation is loaded, so none has to be brought up to date."""


async def lock(session: AsyncSession, user: User) -> None:
    """Keep a user from others until the transaction ends, so that nobody who is being erased gets a name again.

    Staff are locked together, in ascending order: two of them can remove each other at once without a deadlock.

    Raises:
        NotFound: The user was erased in the meantime.
    """
    itself = col(User.id) == user.id
    rows = select(User).where(or_(itself, col(User.is_superuser)) if user.is_superuser else itself)
    locked = rows.order_by(col(User.id)).with_for_update().execution_options(populate_existing=True)
    if user not in (await session.exec(locked)).all() or user.erased_at is not None:
        raise NotFound("There is no such user.")


async def change(session: AsyncSession, user: User, data: UserUpdate) -> None:
    """Change what was sent; whoever stops being active or staff is kept from being the last of them.

    Raises:
        Conflict: It is the last staff user who can sign in.
    """
    if data.is_superuser is False:
        await _keep_one_staff_user(session, user)
    if data.is_active is False:
        await deactivate(session, user)
    user.sqlmodel_update(data.model_dump(exclude_unset=True))
    await session.flush()


async def deactivate(session: AsyncSession, user: User) -> None:
    """Lock a user out, at once.

    Raises:
        Conflict: It is the last staff user who can sign in.
    """
    await _keep_one_staff_user(session, user)
    user.is_active = False
    await session.exec(delete(Token).where(col(Token.user_id) == user.id))
    await session.flush()


async def erase(session: AsyncSession, user: User) -> None:
    """Forget the person and keep the books: a row that orders or money refer to stays, without a name.

    Raises:
        Conflict: It is the last staff user who can sign in.
    """
    await _keep_one_staff_user(session, user)
    await _hold_accounts(session, [user.id])
    if (await session.exec(select(User.id).where(User.id == user.id, _has_books()))).first() is None:
        await session.exec(delete(User).where(col(User.id) == user.id))
        return
    for owned, owner in OWNER_OF.items():
        await session.exec(delete(owned).where(col(owner) == user.id))
    user.erase()
    await session.flush()


async def deactivate_idle(session: AsyncSession, since: datetime) -> int:
    """Deactivate customers who have not signed in since, and say how many those were."""
    last_seen = func.coalesce(col(User.last_login_at), col(User.created_at))
    idle = update(User).where(col(User.is_active), not_(col(User.is_superuser)), last_seen < since)
    changed = (await session.exec(idle.values(is_active=False), execution_options=BULK)).rowcount
    inactive = select(User.id).where(not_(col(User.is_active)))
    await session.exec(delete(Token).where(col(Token.user_id).in_(inactive)), execution_options=BULK)
    return changed


async def erase_inactive(session: AsyncSession) -> int:
    """Erase all inactive customers, many at a time, and say how many those were."""
    inactive = and_(not_(col(User.is_active)), not_(col(User.is_superuser)), col(User.erased_at).is_(None))
    locked = select(User.id).where(inactive).order_by(col(User.id)).with_for_update()
    going = (await session.exec(locked)).all()  # held, so that none of them is made active again meanwhile
    return sum([await _erase_all(session, going[start : start + MANY]) for start in range(0, len(going), MANY)])


async def _erase_all(session: AsyncSession, user_ids: Sequence[int]) -> int:
    await _hold_accounts(session, user_ids)
    for owned, owner in OWNER_OF.items():
        await session.exec(delete(owned).where(col(owner).in_(user_ids)), execution_options=BULK)
    these = col(User.id).in_(user_ids)
    deleted = await session.exec(delete(User).where(these, not_(_has_books())), execution_options=BULK)
    nameless = literal("erased-", String) + cast(col(User.id), String(20))
    anonymised = await session.exec(
        update(User)
        .where(these)
        .values(
            username=nameless,
            email=nameless,
            full_name=None,
            bio=None,
            last_login_at=None,
            hashed_password="",
            erased_at=utcnow(),
        ),
        execution_options=BULK,
    )
    return deleted.rowcount + anonymised.rowcount


async def purge_tokens(session: AsyncSession) -> int:
    """Forget expired tokens, and say how many those were."""
    expired = delete(Token).where(col(Token.expires_at) < utcnow())
    return (await session.exec(expired, execution_options=BULK)).rowcount


async def _hold_accounts(session: AsyncSession, user_ids: Sequence[int]) -> None:
    """Keep money from coming in after it was looked for."""
    accounts = select(Account.id).where(col(Account.user_id).in_(user_ids)).order_by(col(Account.id))
    await session.exec(accounts.with_for_update())


def _has_books() -> ColumnElement[bool]:
    accounts = exists().where(
        col(Account.user_id) == col(User.id),
        or_(col(Transaction.from_account_id) == col(Account.id), col(Transaction.to_account_id) == col(Account.id)),
    )
    return or_(exists().where(col(Order.user_id) == col(User.id)), accounts)


async def _keep_one_staff_user(session: AsyncSession, leaving: User) -> None:
    """Of two who leave at once the second one waits: `lock` holds all staff."""
    if not leaving.is_superuser:
        return
    staff = select(User.id).where(col(User.is_superuser), col(User.is_active))
    if set((await session.exec(staff)).all()) <= {leaving.id}:
        raise Conflict("The last staff user who can sign in must stay.")
