"""Store credit: one account per user, and the transactions between accounts."""

from typing import Any

from sqlmodel import case, col, func, or_, select

from api.auth.callers import CurrentUser, Staff
from api.errors import Unprocessable
from api.models.account import Account, AccountRead, ShopAccount
from api.models.money import ZERO, total_of
from api.models.reports import AccountStats
from api.models.transaction import DepositCreate, Transaction, TransactionRead, TransferCreate
from api.reads.pages import read_page
from api.reads.rows import Read
from api.rules import ledger
from api.rules.store_credit import RECEIVER, transfer_credit
from api.web.loading import PathId, one_or_404
from api.web.pagination import CursorPage, Page, PagingParams
from api.web.problems import problems
from api.web.routing import Router
from api.web.sessions import ReadSession, WriteSession

router = Router("/accounts", tag="accounts")


@router.get("", response_model=Page[AccountRead] | CursorPage[AccountRead])
async def list_accounts(staff: Staff, paging: PagingParams) -> Read:
    """List all accounts, including the shop's own, the oldest first."""
    return read_page(select(Account), paging, sort="id")


@router.get("/stats/summary")
async def read_account_stats(session: ReadSession, staff: Staff) -> AccountStats:
    """Sum up all accounts at one moment. Their balances add up to zero."""
    of_customer, balance = col(Account.user_id).is_not(None), col(Account.balance)
    issued, sales = (col(Account.name) == each.value for each in (ShopAccount.ISSUED, ShopAccount.SALES))
    counts = (func.count(), func.coalesce(func.sum(case((of_customer, 1), else_=0)), 0))
    balances = (balance, *(case((which, balance), else_=ZERO) for which in (of_customer, issued, sales)))
    found: Any = (await session.exec(select(*counts, *map(total_of, balances)).select_from(Account))).one()
    return AccountStats.model_validate(dict(zip(AccountStats.model_fields, found, strict=True)))


@router.get("/me", response_model=AccountRead)
async def read_own_account(session: WriteSession, user: CurrentUser) -> Account:
    """Read the caller's own account. The first request creates it."""
    return await ledger.account_of(session, user.id)


@router.get(
    "/{id}/transactions",
    response_model=Page[TransactionRead] | CursorPage[TransactionRead],
    responses=problems(404),
)
async def list_transactions(account_id: PathId, session: ReadSession, user: CurrentUser, paging: PagingParams) -> Read:
    """List the transactions of an account, the newest first."""
    await one_or_404(session, Account, Account.id == account_id, Account.visible_to(user))
    moved = or_(Transaction.from_account_id == account_id, Transaction.to_account_id == account_id)
    return read_page(select(Transaction).where(moved), paging)


@router.post(
    "/transfers",
    status_code=201,
    summary="Transfer store credit",
    response_model=TransactionRead,
    responses=problems(404, 409),
)
async def transfer(data: TransferCreate, session: WriteSession, user: CurrentUser) -> TransactionRead:
    """Transfer store credit to another account: from the caller's own, or from any account for staff."""
    if data.from_account_id is None:
        source = await ledger.account_id_of(session, user.id)
    else:
        source = (await one_or_404(session, Account, Account.id == data.from_account_id, Account.visible_to(user))).id
    target = await RECEIVER.one(session, account_id=data.to_account_id)
    if target is None or (target.user_id is None and not user.is_superuser):
        raise Unprocessable("body.to_account_id", "there is no such account")
    return await transfer_credit(session, source, target, data.amount, data.description)


@router.post(
    "/{id}/deposits",
    status_code=201,
    summary="Deposit store credit",
    response_model=TransactionRead,
    responses=problems(404, 409),
)
async def deposit(account_id: PathId, data: DepositCreate, session: WriteSession, staff: Staff) -> TransactionRead:
    """Deposit store credit into an account, from the shop's account for issued credit."""
    target = await RECEIVER.one_or_404(session, account_id=account_id)
    issued = await ledger.shop_account_id(session, ShopAccount.ISSUED)
    if target.id == issued:
        raise Unprocessable("path.id", "is the shop's account for issued credit, which takes no deposits")
    return await transfer_credit(session, issued, target, data.amount, data.description)
