"""Requests that the tests of several files of this folder send, and the accounts and amounts in them."""

from typing import Any

from httpx import AsyncClient, Response
from sqlmodel import col, update
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.account import Account
from api.models.user import User
from tests.factories import a_user, an_account

INVALID_AMOUNTS = [
    "0",
    "-1",
    "0.001",
    "1e400",
    "-1e400",
    "NaN",
    '"NaN"',
    '"inf"',
    '"1e400"',
    "10000000000000",
    "null",
    "[]",
]
"""Amounts as they stand in the text of a request. `NaN` is not JSON, but some JSON parsers accept it."""


async def transfer(client: AsyncClient, target: Account, amount: str, **fields: Any) -> Response:
    return await client.post("/accounts/transfers", json={"to_account_id": target.id, "amount": amount, **fields})


async def deposit(client: AsyncClient, target: Account, amount: str, **fields: Any) -> Response:
    return await client.post(f"/accounts/{target.id}/deposits", json={"amount": amount, **fields})


async def an_erased_account(session: AsyncSession) -> Account:
    """The account of an erased user, with a balance of 5.00."""
    user = await a_user(session)
    account = await an_account(session, user, "5.00")
    await session.exec(update(User).where(col(User.id) == user.id).values(User.erased_values()))
    return account
