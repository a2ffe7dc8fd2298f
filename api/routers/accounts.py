"""/accounts: store credit."""

from collections.abc import Sequence

from fastapi import APIRouter
from sqlalchemy import ColumnElement
from sqlmodel import col, exists, not_, or_, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth import CurrentUser, Staff
from api.database import ReadSession, WriteSession
from api.errors import Conflict, Unprocessable, problems
from api.loading import PathId, one_or_404
from api.models import (
    Account,
    AccountRead,
    DepositCreate,
    Notification,
    NotificationKind,
    ShopAccount,
    Transaction,
    TransactionRead,
    TransferCreate,
    User,
)
from api.pagination import CursorPage, Page, PagingParams, paginate
from api.rules import ledger
from api.rules.notifications import notify
from api.transactions import Idempotent, TransactionRoute

router = APIRouter(prefix="/accounts", tags=["accounts"], route_class=TransactionRoute)

erased: ColumnElement[bool] = exists().where(col(User.id) == col(Account.user_id), col(User.erased_at).is_not(None))
in_use: ColumnElement[bool] = not_(erased)
"""Accounts that somebody can get at: what is given to an erased user would be lost."""


@router.get("", response_model=list[AccountRead])
async def list_accounts(session: ReadSession, staff: Staff) -> Sequence[Account]:
    """List all accounts, the shop's own too, as of one moment: their balances come to zero."""
    return (await session.exec(select(Account).order_by(col(Account.id)))).all()


@router.get("/me", response_model=AccountRead)
async def read_my_account(session: WriteSession, user: CurrentUser) -> Account:
    """Read one's own account; it is made the first time."""
    return await ledger.account_of(session, user.id)


@router.get(
    "/{id}/transactions",
    response_model=Page[TransactionRead] | CursorPage[TransactionRead],
    responses=problems(404),
)
async def list_transactions(
    account_id: PathId, session: ReadSession, user: CurrentUser, paging: PagingParams
) -> Page[Transaction] | CursorPage[Transaction]:
    """List what came into an account and what went out, the latest first."""
    await one_or_404(session, Account, Account.id == account_id, user.sees(Account.user_id))
    moved = or_(Transaction.from_account_id == account_id, Transaction.to_account_id == account_id)
    return await paginate(session, select(Transaction).where(moved), paging, model=Transaction)


@router.post(
    "/transfers",
    status_code=201,
    summary="Transfer store credit",
    response_model=TransactionRead,
    responses=problems(404, 409),
    dependencies=[Idempotent],
)
async def transfer(data: TransferCreate, session: WriteSession, user: CurrentUser) -> Transaction:
    """Transfer store credit to another account, from one's own unless one is staff."""
    if data.from_account_id is None:
        source = await ledger.account_of(session, user.id)
    else:
        source = await one_or_404(session, Account, Account.id == data.from_account_id, user.sees(Account.user_id))
    target = (await session.exec(select(Account).where(Account.id == data.to_account_id, in_use))).one_or_none()
    if target is None or (target.user_id is None and not user.is_superuser):
        raise Unprocessable("body.to_account_id", "there is no such account")
    moved = Transaction.model_validate(data, update={"from_account_id": source.id})
    return await _give(session, target, moved)


@router.post(
    "/{id}/deposits",
    status_code=201,
    summary="Deposit store credit",
    response_model=TransactionRead,
    responses=problems(404, 409),
    dependencies=[Idempotent],
)
async def deposit(account_id: PathId, data: DepositCreate, session: WriteSession, staff: Staff) -> Transaction:
    """Give store credit to an account; the shop's account of issued credit goes down by it."""
    target = await one_or_404(session, Account, Account.id == account_id, in_use)
    issued = await ledger.shop_account(session, ShopAccount.ISSUED)
    if target.id == issued.id:
        raise Unprocessable("path.id", "is the account that credit is issued from")
    given = Transaction.model_validate(data, update={"from_account_id": issued.id, "to_account_id": target.id})
    return await _give(session, target, given)


async def _give(session: AsyncSession, target: Account, given: Transaction) -> Transaction:
    await ledger.post(session, given)
    # Asked again, now that the account is locked: an erasure that was quicker held it until just now.
    if (await session.exec(select(Account.id).where(Account.id == target.id, in_use))).first() is None:
        raise Conflict("The account's owner is gone.")
    if target.user_id is not None:
        message = f"You received {given.amount} of store credit."
        kind = NotificationKind.CREDIT_RECEIVED
        await notify(session, Notification(user_id=target.user_id, kind=kind, message=message))
    return given
