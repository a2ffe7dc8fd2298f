"""Browsers of the admin: of a staff user, of a customer, and of nobody."""

from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.user import User
from tests.admin.support import Browser
from tests.factories import a_token


@pytest.fixture
async def nobody(app: FastAPI, session: AsyncSession) -> AsyncIterator[Browser]:
    async with Browser(app) as browser:
        yield browser


@pytest.fixture
async def admin(app: FastAPI, session: AsyncSession, staff: User) -> AsyncIterator[Browser]:
    """The browser of a staff user who is signed in."""
    secret, _ = await a_token(session, staff)
    async with Browser(app, secret) as browser:
        yield browser


@pytest.fixture
async def customers_browser(app: FastAPI, session: AsyncSession, customer: User) -> AsyncIterator[Browser]:
    """The browser of a customer, with a token that is none of the admin's."""
    secret, _ = await a_token(session, customer)
    async with Browser(app, secret) as browser:
        yield browser
