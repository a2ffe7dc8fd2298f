"""The clients that the tests of /posts compare."""

import pytest
from httpx import AsyncClient


@pytest.fixture
async def clients(
    client: AsyncClient, as_customer: AsyncClient, as_other_customer: AsyncClient, as_staff: AsyncClient
) -> dict[str, AsyncClient]:
    """One client for each caller; the author of a test's post is `customer`."""
    return {"nobody": client, "author": as_customer, "other": as_other_customer, "staff": as_staff}
