"""What stands in the database, read for tests that compare it before and after a request: rows, stock and balances."""

from decimal import Decimal
from typing import TypeVar

from sqlmodel import SQLModel, col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.account import Account, ShopAccount
from api.models.product import Product
from api.models.stock_movement import StockMovement
from api.models.transaction import Transaction
from api.models.user import User

Row = TypeVar("Row", bound=SQLModel)


async def rows_of(session: AsyncSession, model: type[Row]) -> list[Row]:
    """All rows of one table, the oldest first."""
    return list((await session.exec(select(model).order_by(col(model.id)))).all())  # type: ignore[attr-defined]


# Stock


async def stock_of(session: AsyncSession, product: Product) -> int:
    """How many units of a product are in stock."""
    return (await session.exec(select(Product.stock_quantity).where(Product.id == product.id))).one()


async def movements_of(session: AsyncSession, product: Product) -> list[tuple[int, str, int | None]]:
    """The movements of a product's stock, the oldest first: delta, reason, and id of the order."""
    of_product = select(StockMovement).where(StockMovement.product_id == product.id).order_by(col(StockMovement.id))
    return [(each.delta, each.reason.value, each.order_id) for each in (await session.exec(of_product)).all()]


async def assert_stock_equals_movements(session: AsyncSession) -> None:
    """Check that the movements of every product add up to its stock."""
    for product in await rows_of(session, Product):
        moved = sum(delta for delta, _, _ in await movements_of(session, product))
        stock = product.stock_quantity
        assert stock == moved, f"{product.sku} has a stock of {stock}, but its movements add up to {moved}"


# Money


async def shop_account(session: AsyncSession, which: ShopAccount) -> Account:
    """One of the shop's own accounts."""
    return (await session.exec(select(Account).where(Account.name == which.value))).one()


async def balances(session: AsyncSession) -> dict[int, Decimal]:
    """The balance of every account, by the id of the account."""
    return dict((await session.exec(select(col(Account.id), col(Account.balance)))).all())


async def balance_of(session: AsyncSession, user: User) -> Decimal:
    """The balance of a user's account."""
    return (await session.exec(select(col(Account.balance)).where(Account.user_id == user.id))).one()


async def assert_balances_equal_transactions(session: AsyncSession) -> None:
    """Check that transactions explain every balance, that no user owes anything, and that all adds up to zero."""
    found = await balances(session)
    expected = dict.fromkeys(found, Decimal(0))
    for transaction in await rows_of(session, Transaction):
        expected[transaction.from_account_id] -= transaction.amount
        expected[transaction.to_account_id] += transaction.amount
    wrong = [
        f"account {account_id} has a balance of {balance}, but its transactions add up to {expected[account_id]}"
        for account_id, balance in sorted(found.items())
        if balance != expected[account_id]
    ]
    assert wrong == [], "; ".join(wrong)
    assert sum(found.values()) == 0, f"all balances add up to {sum(found.values())}"
    overdrawn = select(func.count()).where(col(Account.user_id).is_not(None), col(Account.balance) < 0)
    count = (await session.exec(overdrawn)).one()
    assert count == 0, f"{count} accounts of users are below zero"
