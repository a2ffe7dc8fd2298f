"""Erasing a user: the person is forgotten, and the books are kept.

A user without orders and transactions is deleted, and the foreign keys say what goes along. A user with some keeps a
row without a name. Then no foreign key fires, so what goes is deleted here: every row of a table whose foreign key to
users says CASCADE. The other tables stand in `KEPT_ROWS`, each with its reason.
"""

import json
from collections.abc import Collection, Sequence
from typing import Any

from pydantic import JsonValue
from sqlalchemy import ColumnElement, inspect
from sqlmodel import Column, SQLModel, and_, col, delete, exists, not_, or_, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.account import Account
from api.models.event import EventType
from api.models.idempotency_key import IdempotencyKey
from api.models.registration import Registration
from api.models.transaction import Transaction
from api.models.user import ErasedUser, User
from api.rules.events import record_event
from api.rules.user_access import USERS_AT_A_TIME, keep_one_staff_user

ANSWERS_AT_A_TIME = 100
"""Stored answers that are looked through at once: one may have megabytes."""

KEPT_ROWS = {
    "accounts.user_id": "a balance that transactions add up to; the account names its user by number only",
    "orders.user_id": "an order is a frozen document of the books",
    "order_events.user_id": "who confirmed, shipped or cancelled an order, by number only",
    "refunds.user_id": "who refunded a payment, by number only",
    "stock_movements.user_id": "who changed the stock, by number only",
}
"""Foreign keys to users whose rows outlive an erased user. Add a line here, or declare `ondelete="CASCADE"`."""

KEPT_TEXTS = {
    "accounts.name": "made by the shop from the user's number",
    "orders.order_number": "random",
    "orders.shipping_address": "where the goods went is part of the order, and tax law wants it kept",
    "order_items.product_name": "of a product, and not of a person",
    "order_items.sku": "of a product, and not of a person",
    "payments.reference": "the payment processor's own number, by which a payment is found again",
    "refunds.reason": "written by staff, for the books",
    "stock_movements.note": "written by staff, for the books",
    "transactions.description": "what a transfer was for, which also belongs to the other account",
}
"""Texts in rows that are kept, each with the reason why it may stay."""


def foreign_keys_to_users() -> list[Column[Any]]:
    """In the order in which their rows can be deleted: children first."""
    return [
        column
        for table in reversed(SQLModel.metadata.sorted_tables)
        for column in table.columns
        if any(key.column.table is inspect(User).local_table for key in column.foreign_keys)
    ]


def owners_of_erased_rows() -> list[Column[Any]]:
    """The foreign keys whose rows are deleted also where the user's own row is kept."""
    return [each for each in foreign_keys_to_users() if _ondelete(each) == "CASCADE" and str(each) not in KEPT_ROWS]


def _ondelete(column: Column[Any]) -> str | None:
    (foreign_key,) = column.foreign_keys
    return foreign_key.ondelete


async def erase(session: AsyncSession, user: User) -> None:
    """Erase one user.

    Raises:
        Conflict: It is the last staff user who can sign in.
    """
    await keep_one_staff_user(session, user)
    await _erase(session, [user.id])


async def erase_inactive(session: AsyncSession) -> int:
    """Erase inactive customers, so many at a time, and return how many those were."""
    inactive = and_(not_(col(User.is_active)), not_(col(User.is_superuser)), User.not_erased())
    # Locked, so that another request does not make one of them active again.
    locked = select(User.id).where(inactive).order_by(col(User.id)).limit(USERS_AT_A_TIME).with_for_update()
    user_ids = (await session.exec(locked)).all()
    return await _erase(session, user_ids) if user_ids else 0


async def _erase(session: AsyncSession, user_ids: Sequence[int]) -> int:
    await _lock_accounts(session, user_ids)
    await _delete_owned(session, user_ids)
    await _forget_answers(session, user_ids)
    await _forget_registrations(session, user_ids)
    these = col(User.id).in_(user_ids)
    deleted = await session.exec(delete(User).where(these, not_(_has_books())))
    anonymised = await session.exec(update(User).where(these).values(User.erased_values()))
    for user_id in user_ids:
        record_event(session, EventType.USER_ERASED, User, user_id, ErasedUser(id=user_id))
    return deleted.rowcount + anonymised.rowcount


async def _delete_owned(session: AsyncSession, user_ids: Sequence[int]) -> None:
    for owner in owners_of_erased_rows():
        await session.exec(delete(owner.table).where(owner.in_(user_ids)))


async def _forget_answers(session: AsyncSession, user_ids: Sequence[int]) -> None:
    """Delete the stored answers that tell of these users: a repeated request of staff would show the person again.

    Other answers stay, so that what was asked for is not done twice. The key of this request has no answer yet.
    """
    users, after, key_id = set(user_ids), 0, col(IdempotencyKey.id)
    answers = select(key_id, col(IdempotencyKey.route), col(IdempotencyKey.body)).where(_may_tell_of_people())
    answers = answers.order_by(key_id).limit(ANSWERS_AT_A_TIME)
    while found := (await session.exec(answers.where(key_id > after))).all():
        told = [row_id for row_id, route, body in found if _tells_of(json.loads(body or ""), users, _owners_in(route))]
        await session.exec(delete(IdempotencyKey).where(key_id.in_(told)))
        after = found[-1][0]


def _may_tell_of_people() -> ColumnElement[bool]:
    """Answers that have somebody's name, or rows that go with their user, as a condition."""
    route, body = col(IdempotencyKey.route), col(IdempotencyKey.body)
    of_rows = (route.contains(_path_of(owner)) for owner in owners_of_erased_rows())
    return and_(or_(body.startswith("{"), body.startswith("[")), or_(body.contains('"username"'), *of_rows))


def _path_of(owner: Column[Any]) -> str:
    """Where the API has the rows of its table."""
    return "/" + owner.table.name.replace("_", "-")


def _owners_in(route: str) -> frozenset[str]:
    """The fields that name the owner in an answer of this route, where its rows go with their user."""
    return frozenset(each.name for each in owners_of_erased_rows() if _path_of(each) in route)


def _tells_of(answer: JsonValue, user_ids: Collection[int], owners: frozenset[str]) -> bool:
    """Whether an answer has one of these users, as `UserSummary` has one, or a row that is theirs."""
    match answer:
        case list():
            return any(_tells_of(each, user_ids, owners) for each in answer)
        case dict():
            its_own = answer.get("id") in user_ids and "username" in answer
            owned = any(answer.get(name) in user_ids for name in owners)
            return its_own or owned or any(_tells_of(each, user_ids, owners) for each in answer.values())
    return False


async def _forget_registrations(session: AsyncSession, user_ids: Sequence[int]) -> None:
    """Delete registrations that wait with the address of one of these users: they say who had an account."""
    addresses = select(User.email).where(col(User.id).in_(user_ids))
    await session.exec(delete(Registration).where(col(Registration.email).in_(addresses)))


async def _lock_accounts(session: AsyncSession, user_ids: Sequence[int]) -> None:
    """Keep money from coming in after it was looked for."""
    accounts = select(Account.id).where(col(Account.user_id).in_(user_ids)).order_by(col(Account.id))
    await session.exec(accounts.with_for_update())


def _has_books() -> ColumnElement[bool]:
    """Users whom a foreign key keeps from being deleted, and users whose account has transactions."""
    restricting = [each for each in foreign_keys_to_users() if _ondelete(each) == "RESTRICT"]
    transactions = exists().where(
        col(Account.user_id) == col(User.id),
        or_(col(Transaction.from_account_id) == col(Account.id), col(Transaction.to_account_id) == col(Account.id)),
    )
    return or_(*(exists().where(each == col(User.id)) for each in restricting), transactions)
