"""Giving store credit: money moves to an account, and its owner is told."""

from decimal import Decimal

from sqlmodel import bindparam, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.errors import Conflict
from api.models.account import Account, AccountRead
from api.models.notification import NotificationKind
from api.models.transaction import TransactionRead
from api.reads.plain import PlainStatement
from api.rules import ledger
from api.rules.notifications import notify

RECEIVER = PlainStatement(
    select(Account).where(col(Account.id) == bindparam("account_id"), Account.not_erased()), AccountRead
)
"""An account that can be given to; that of an erased user cannot."""


async def transfer_credit(
    session: AsyncSession, source: int, to: AccountRead, amount: Decimal, description: str | None
) -> TransactionRead:
    """Move an amount to an account, and notify the account's owner.

    Raises:
        Unprocessable: Both accounts are the same.
        Conflict: The balance does not cover the amount, or the owner was erased meanwhile.
    """
    transaction = await ledger.post(session, source, to.id, amount, description=description)
    # Asked again, now that the account is locked: an erasure that was quicker held it until just now.
    if await RECEIVER.one(session, account_id=to.id) is None:
        raise Conflict("The owner of this account no longer exists.")
    if to.user_id is not None:
        message = f"You received {amount} of store credit."
        await notify(session, to.user_id, NotificationKind.CREDIT_RECEIVED, message)
    return transaction
