"""What the tests of signing in, of passwords and of tokens share."""

import httpx
from httpx import AsyncClient
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.token import Token
from api.models.user import User
from tests.support import PASSWORD

NEW_PASSWORD = "SaferPass456"

CURRENT_PARAMETERS = "$argon2id$v=19$m=16,t=1,p=1$"
"""How a hash begins that is made with the present parameters, which are those of the tests."""


async def sign_in(client: AsyncClient, username: str = "customer", password: str = PASSWORD) -> httpx.Response:
    return await client.post("/auth/token", data={"username": username, "password": password})


def bearer(secret: str) -> dict[str, str]:
    """The header with which a client sends a token."""
    return {"Authorization": f"Bearer {secret}"}


async def tokens_of(session: AsyncSession, user: User) -> list[Token]:
    return list((await session.exec(select(Token).where(Token.user_id == user.id).order_by(col(Token.id)))).all())


async def password_hash(session: AsyncSession, user: User) -> str:
    return (await session.exec(select(User.hashed_password).where(User.id == user.id))).one()
