"""Requests that the tests of several files of this folder send, and the statuses that an order can have."""

from typing import Any

from httpx import AsyncClient, Response

from api.models.order import OrderStatus
from tests.factories import STEPS_TO, Line, order_body

STATUSES = [status.value for status in OrderStatus]


async def place_order(client: AsyncClient, *lines: Line, **fields: Any) -> dict[str, Any]:
    """Place an order through the API, and return the answer."""
    response = await client.post("/orders", json=order_body(*lines, **fields))
    assert response.status_code == 201, response.text
    order: dict[str, Any] = response.json()
    return order


async def set_status(client: AsyncClient, order_id: int, status: str) -> Response:
    return await client.patch(f"/orders/{order_id}/status", params={"new_status": status})


async def bring_to(as_staff: AsyncClient, order_id: int, status: str) -> None:
    """Bring a pending order to a status, one step after another."""
    for step in STEPS_TO[OrderStatus(status)]:
        response = await set_status(as_staff, order_id, step)
        assert response.status_code == 200, response.text
