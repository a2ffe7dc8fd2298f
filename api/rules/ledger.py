"""The ledger: money goes from one account to another as one row, and both balances change with it.

A balance changes by one conditional UPDATE, accounts are locked in ascending id order, and no row is ever changed or
deleted: a correction is another transaction.
"""

from decimal import Decimal

from sqlalchemy.exc import IntegrityError
from sqlmodel import bindparam, col, or_, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.connections import driver_of
from api.database.row_ids import next_id, next_ids
from api.database.statements import Insertion, Statement
from api.database.trail import record_change
from api.errors import Conflict, Unprocessable
from api.models.account import Account, ShopAccount
from api.models.base import utcnow
from api.models.columns import BigInt, Cents
from api.models.transaction import Transaction, TransactionRead

BALANCE = col(Account.balance) + bindparam("delta", type_=Cents)
CHANGE_BALANCE = Statement(
    update(Account)
    .where(col(Account.id) == bindparam("account_id"), or_(col(Account.user_id).is_(None), BALANCE >= 0))
    .values(balance=BALANCE, updated_at=bindparam("now")),
    recorded=True,
)
SELECT_BALANCES = Statement(
    select(col(Account.id), col(Account.balance)).where(
        col(Account.id).in_([bindparam("source", type_=BigInt), bindparam("target", type_=BigInt)])
    )
)
SELECT_ACCOUNT_ID = Statement(select(col(Account.id)).where(Account.user_id == bindparam("user_id")))
SELECT_SHOP_ACCOUNT_ID = Statement(select(col(Account.id)).where(Account.name == bindparam("name")))
INSERT_TRANSACTION = Insertion(Transaction)


async def account_of(session: AsyncSession, user_id: int) -> Account:
    """A user's account, which is added now if there is none."""
    own = select(Account).where(Account.user_id == user_id)
    account = (await session.exec(own)).one_or_none()
    if account is not None:
        return account
    try:
        async with session.begin_nested():
            account = Account(name=f"Store credit {user_id}", user_id=user_id)
            session.add(account)
    except IntegrityError:
        account = (await session.exec(own)).one_or_none()
        if account is None:  # no other request added it meanwhile: the user is gone
            raise
    return account


async def account_id_of(session: AsyncSession, user_id: int) -> int:
    """The id of a user's account, which is added now if there is none."""
    driver = await driver_of(session)
    found = await driver.fetch(SELECT_ACCOUNT_ID, user_id=user_id)
    return int(found[0][0]) if found else (await account_of(session, user_id)).id


async def shop_account_id(session: AsyncSession, which: ShopAccount) -> int:
    driver = await driver_of(session)
    ((account_id,),) = await driver.fetch(SELECT_SHOP_ACCOUNT_ID, name=which.value)
    return int(account_id)


async def post(
    session: AsyncSession,
    source: int,
    target: int,
    amount: Decimal,
    *,
    description: str | None = None,
    order_id: int | None = None,
) -> TransactionRead:
    """Move an amount from one account to another, given by their ids, and store the transaction.

    Raises:
        Unprocessable: Both accounts are the same, or one of them does not exist.
        Conflict: The balance does not cover the amount.
    """
    if source == target:
        raise Unprocessable("body.to_account_id", "must differ from from_account_id")
    driver = await driver_of(session)
    now = utcnow()
    deltas = {each: amount if each == target else -amount for each in sorted((source, target))}
    one, other, balances, *given = await driver.together(
        *((CHANGE_BALANCE, {"account_id": each, "delta": delta, "now": now}) for each, delta in deltas.items()),
        (SELECT_BALANCES, {"source": source, "target": target}),
        *next_ids(driver.dialect, Transaction),
    )
    if not (one.row_count and other.row_count):
        if balances.row_count < len(deltas):
            raise Unprocessable("body.to_account_id", "there is no such account")
        raise Conflict("The balance is too low for this amount.")
    for account_id, balance in balances.rows:
        record_change(session, Account, account_id, balance=(balance - deltas[account_id], balance))
    row = INSERT_TRANSACTION.values(
        from_account_id=source, to_account_id=target, amount=amount, description=description, order_id=order_id
    )
    transaction_id = await driver.insert(INSERT_TRANSACTION, row_id=next_id(given), **row)
    return TransactionRead.model_construct(id=transaction_id, **row)
