"""Giving store credit: money moves to an account, and its owner is told."""

from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.errors import Conflict
from api.models.account import Account
from api.models.notification import NotificationKind
from api.models.transaction import Transaction
from api.rules import ledger
from api.rules.notifications import notify


async def transfer_credit(session: AsyncSession, transaction: Transaction, *, to: Account) -> Transaction:
    """Post a transaction to an account, and notify the account's owner.

    Raises:
        Unprocessable: Both accounts are the same.
        Conflict: The balance does not cover the amount, or the owner was erased meanwhile.
    """
    await ledger.post(session, transaction)
    # Asked again, now that the account is locked: an erasure that was quicker held it until just now.
    if (await session.exec(select(Account.id).where(Account.id == to.id, Account.not_erased()))).first() is None:
        raise Conflict("The owner of this account no longer exists.")
    if to.user_id is not None:
        message = f"You received {transaction.amount} of store credit."
        await notify(session, to.user_id, NotificationKind.CREDIT_RECEIVED, message)
    return transaction
