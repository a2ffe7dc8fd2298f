"""Changing and deactivating users, so that a staff user who can sign in always remains."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import and_, col, delete, exists, func, not_, or_, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.errors import Conflict, NotFound
from api.models.account import Account
from api.models.order import Order
from api.models.order_event import OrderEvent
from api.models.payment import Payment, PaymentMethod
from api.models.post import Post
from api.models.token import Token
from api.models.transaction import Transaction
from api.models.user import STAFF_FIELDS, User, UserUpdate

USERS_AT_A_TIME = 1_000
"""Users that one request deactivates or erases: each is a parameter of a statement, and all stay locked meanwhile."""


async def lock(session: AsyncSession, user: User) -> None:
    """Lock a user until the transaction ends, so that a user who is being erased does not get a name again.

    Staff are locked together, in ascending order: two of them can remove each other at once without a deadlock.

    Raises:
        NotFound: Another request erased the user.
    """
    this_user = col(User.id) == user.id
    rows = select(User).where(or_(this_user, col(User.is_superuser)) if user.is_superuser else this_user)
    locked = rows.order_by(col(User.id)).with_for_update().execution_options(populate_existing=True)
    if user not in (await session.exec(locked)).all() or user.erased_at is not None:
        raise NotFound("There is no such user.")


async def change(session: AsyncSession, user: User, data: UserUpdate) -> None:
    """Change what was sent of the fields that staff alone may change.

    Raises:
        Conflict: It is the last staff user who can sign in, and would cease to be one.
    """
    if data.is_superuser is False:
        await keep_one_staff_user(session, user)
    if data.is_active is False:
        await deactivate(session, user)
    user.sqlmodel_update(data.model_dump(exclude_unset=True, include=STAFF_FIELDS))


async def deactivate(session: AsyncSession, user: User) -> None:
    """Lock a user out, from the next request on.

    Raises:
        Conflict: It is the last staff user who can sign in.
    """
    await keep_one_staff_user(session, user)
    user.is_active = False
    await session.exec(delete(Token).where(col(Token.user_id) == user.id))
    await session.flush()


async def deactivate_idle(session: AsyncSession, since: datetime) -> int:
    """Deactivate customers who have done nothing since, so many at a time, and return how many those were."""
    idle = select(User.id).where(col(User.is_active), not_(col(User.is_superuser)), _idle_since(since))
    locked = idle.order_by(col(User.id)).limit(USERS_AT_A_TIME).with_for_update()
    user_ids = (await session.exec(locked)).all()
    await session.exec(update(User).where(col(User.id).in_(user_ids)).values(is_active=False))
    await session.exec(delete(Token).where(col(Token.user_id).in_(user_ids)))
    return len(user_ids)


def _idle_since(since: datetime) -> ColumnElement[bool]:
    """Users of whom no row says that they did anything since.

    A user's row says when a token was used, and the token where an older release recorded it. An order and a post count
    also where a staff user wrote them for the user.
    """
    sent = col(Transaction.from_account_id) == col(Account.id)
    paid = and_(col(Payment.order_id) == col(Order.id), col(Payment.method) == PaymentMethod.STORE_CREDIT)
    return and_(
        func.coalesce(col(User.last_login_at), col(User.created_at)) < since,
        or_(col(User.last_active_at).is_(None), col(User.last_active_at) < since),
        _none_of(Token.user_id, or_(col(Token.last_used_at) >= since, col(Token.created_at) >= since)),
        _none_of(Order.user_id, col(Order.created_at) >= since),
        _none_of(Order.user_id, paid, col(Payment.created_at) >= since),
        _none_of(Account.user_id, sent, col(Transaction.created_at) >= since),
        _none_of(OrderEvent.user_id, col(OrderEvent.created_at) >= since),
        _none_of(Post.author_id, or_(col(Post.created_at) >= since, col(Post.updated_at) >= since)),
    )


def _none_of(owner: Any, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return not_(exists().where(col(owner) == col(User.id), *conditions))


async def keep_one_staff_user(session: AsyncSession, leaving: User) -> None:
    """Of two staff users who leave at once the second one waits: `lock` locks all staff.

    Raises:
        Conflict: It is the last staff user who can sign in.
    """
    if not leaving.is_superuser:
        return
    active_staff = select(User.id).where(col(User.is_superuser), col(User.is_active))
    if set((await session.exec(active_staff)).all()) <= {leaving.id}:
        raise Conflict("The last active staff user cannot be erased, deactivated or demoted.")
