"""Fixtures that several files of this folder use."""

import pytest
from sqlmodel.ext.asyncio.session import AsyncSession

from api.models.product import Product
from api.models.user import User
from tests.databases import Backend
from tests.factories import a_payment, a_product, an_account, an_order
from tests.web.idempotency_cases import CASES, Case, Shop


@pytest.fixture
async def products(session: AsyncSession) -> list[Product]:
    """Two products, each with a stock of 10."""
    return [await a_product(session, stock_quantity=10) for _ in range(2)]


@pytest.fixture
def server_backend(backend: Backend) -> Backend:
    """A database with a server, on which several transactions write at once."""
    if backend.name == "sqlite":
        pytest.skip("SQLite has no server, and one writer at a time")
    return backend


@pytest.fixture
async def shop(session: AsyncSession, staff: User, customer: User) -> Shop:
    """One row of each kind that a request with a key can concern. Staff has store credit of 50.00."""
    product = await a_product(session, price="20.00", stock_quantity=100)
    order = await an_order(session, customer, total="100.00")
    payment = await a_payment(session, order, "40.00")
    own = await an_account(session, staff, "50.00")
    other = await an_account(session, customer)
    return Shop(product, order, payment, own, other)


@pytest.fixture(params=CASES)
def route(request: pytest.FixtureRequest) -> str:
    """Each route of `CASES`, in turn."""
    return str(request.param)


@pytest.fixture
def case(route: str, shop: Shop) -> Case:
    """The requests to the route of this turn."""
    return CASES[route](shop)


@pytest.fixture
def order_case(shop: Shop) -> Case:
    """The requests to `POST /orders`."""
    return CASES["POST /orders"](shop)
