"""Who is there, what is sold, and a look into the database beside the service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import httpx
from sqlmodel.ext.asyncio.session import AsyncSession

from api.auth.tokens import new_token
from api.database.sessions import Database
from api.models.base import utcnow
from api.models.token import TokenKind
from api.models.user import User
from api.settings import Settings
from tests.faults.service import Service
from tests.support import PASSWORD_HASH, FreshSession, save


@dataclass
class Customer:
    """Somebody signed in; staff too."""

    user_id: int
    token: str
    account_id: int = 0
    orders: dict[int, str] = field(default_factory=dict)
    """What each comes to."""

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@asynccontextmanager
async def a_look_into(database_url: str) -> AsyncIterator[AsyncSession]:
    """A connection outlives no kill of the database, so each look has its own."""
    database = Database(Settings(_env_file=None, database_url=database_url))
    async with FreshSession(database.engine) as session:
        yield session
    await database.close()


@asynccontextmanager
async def another_writer(database_url: str) -> AsyncIterator[AsyncSession]:
    """A transaction of somebody else, which holds what it touches and is rolled back in the end."""
    database = Database(Settings(_env_file=None, database_url=database_url))
    async with database.writes() as session:
        yield session
        await session.rollback()
    await database.close()


async def sign_in(session: AsyncSession, how_many: int) -> list[Customer]:
    """Users with a token each; the first is staff."""
    users = [
        User(
            username=f"user_{number}",
            email=f"user_{number}@example.com",
            hashed_password=PASSWORD_HASH,
            is_superuser=number == 0,
        )
        for number in range(how_many)
    ]
    await save(session, *users)
    found = []
    for user in users:
        secret, token = new_token(user, TokenKind.SESSION, "Test", timedelta(days=1))
        token.last_used_at = utcnow()  # so that no request has to note its use
        await save(session, token)
        found.append(Customer(user.id, secret))
    return found


async def open_shop(service: Service, staff: Customer, customers: list[Customer]) -> list[int]:
    """Twenty products with stock that may run out, and store credit for everybody."""
    async with httpx.AsyncClient(base_url=service.url, headers=staff.headers, timeout=20) as client:
        for customer in customers:
            customer.account_id = (await client.get("/accounts/me", headers=customer.headers)).json()["id"]
            credit = await client.post(f"/accounts/{customer.account_id}/deposits", json={"amount": "1000.00"})
            assert credit.status_code == 201, credit.text
        goods = [
            {"name": f"Product {number}", "sku": f"P-{number}", "price": "19.99", "stock_quantity": 300}
            for number in range(20)
        ]
        created = await client.post("/products/bulk", json=goods)
        assert created.status_code == 201, created.text
        return [product["id"] for product in created.json()]
