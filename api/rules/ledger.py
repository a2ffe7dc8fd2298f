"""The ledger: money goes from one account to another as one row, and both balances change with it.

A balance changes by one conditional UPDATE, accounts are locked in ascending id order, and no row is ever changed or
deleted: a correction is another transaction.
"""

from sqlalchemy.exc import IntegrityError
from sqlmodel import col, or_, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.errors import Conflict, Unprocessable
from api.models.account import Account, ShopAccount
from api.models.transaction import Transaction


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


async def shop_account(session: AsyncSession, which: ShopAccount) -> Account:
    return (await session.exec(select(Account).where(Account.name == which.value))).one()


async def post(session: AsyncSession, transaction: Transaction) -> Transaction:
    """Move the amount of a transaction from one balance to the other, and store the transaction.

    Raises:
        Unprocessable: Both accounts are the same, or one of them does not exist.
        Conflict: The balance does not cover the amount.
    """
    if transaction.from_account_id == transaction.to_account_id:
        raise Unprocessable("body.to_account_id", "must differ from from_account_id")
    for account_id in sorted((transaction.from_account_id, transaction.to_account_id)):
        await _change_balance(session, account_id, transaction)
    session.add(transaction)
    await session.flush()
    return transaction


async def _change_balance(session: AsyncSession, account_id: int, transaction: Transaction) -> None:
    """Only the shop's own accounts may go below zero."""
    gives = account_id == transaction.from_account_id
    delta = -transaction.amount if gives else transaction.amount
    covered = or_(col(Account.user_id).is_(None), col(Account.balance) + delta >= 0)
    changed = await session.exec(
        update(Account).where(col(Account.id) == account_id, covered).values(balance=col(Account.balance) + delta)
    )
    if changed.rowcount == 0:
        if (await session.exec(select(Account.id).where(Account.id == account_id))).first() is None:
            raise Unprocessable("body.to_account_id", "there is no such account")
        raise Conflict("The balance is too low for this amount.")
