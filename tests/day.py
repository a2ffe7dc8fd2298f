"""One day of the shop on a database, through HTTP: all that depends on how a server writes and compares values."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from httpx import ASGITransport, AsyncClient, Response

from api.commands.setup import add_staff_user, migrate
from api.commands.verify import verify
from api.main import create_app
from api.models.user import UserCreate
from api.settings import Settings

NAMES = ["Straße \\' \" \\\\ 😀 %s", "C:\\new\\table", 'it\'s || a "test"']
"""What modes and encodings would change: escapes, quotes, and characters beyond Latin-1 and of four bytes."""

STAFF: dict[str, Any] = {"username": "manager", "email": "manager@example.com", "password": "SecurePass123"}
CUSTOMER: dict[str, Any] = {"username": "johndoe", "email": "john@example.com", "password": "SecurePass123"}


async def spend_a_day(settings: Settings) -> None:
    """Migrate an empty database, and have staff and a customer do what they do, with the right answers."""
    with ThreadPoolExecutor(1) as thread:  # the migrations run an event loop of their own
        thread.submit(migrate, settings).result()
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        AsyncClient(transport=ASGITransport(app), base_url="http://test.example") as client,
    ):
        await add_staff_user(app.state.database, UserCreate(**STAFF))
        ok(await client.post("/users", json=CUSTOMER), 201)
        staff, john = await _sign_in(client, STAFF), await _sign_in(client, CUSTOMER)
        products = [await _sell(client, staff, name) for name in NAMES]
        await _order_and_cancel(client, staff, john, products)
        await _look_at_it(client, staff, john)
        assert await verify(app.state.database)


def ok(response: Response, status: int = 200) -> Any:
    assert response.status_code == status, response.text
    return response.json()


async def _sign_in(client: AsyncClient, user: dict[str, Any]) -> dict[str, str]:
    form = {"username": user["username"], "password": user["password"]}
    return {"Authorization": f"Bearer {ok(await client.post('/auth/token', data=form))['access_token']}"}


async def _sell(client: AsyncClient, staff: dict[str, str], name: str) -> dict[str, Any]:
    body = {"name": name, "description": name, "price": "79.99", "sku": f"SKU-{len(name)}", "stock_quantity": 5}
    product: dict[str, Any] = ok(await client.post("/products", json=body, headers=staff), 201)
    assert (product["name"], product["description"]) == (name, name)
    stock = {"delta": 5, "reason": name}
    ok(await client.post(f"/products/{product['id']}/stock", json=stock, headers=staff | _key(f"s{len(name)}")), 201)
    read = ok(await client.get(f"/products/{product['id']}"))
    assert (read["name"], read["price"], read["stock_quantity"]) == (name, "79.99", 10)
    created = datetime.fromisoformat(read["created_at"])
    assert abs(datetime.now(UTC) - created) < timedelta(minutes=1)
    return product


async def _order_and_cancel(
    client: AsyncClient, staff: dict[str, str], john: dict[str, str], products: list[dict[str, Any]]
) -> None:
    order = {"items": [{"product_id": each["id"], "quantity": 2} for each in products], "shipping_address": NAMES[0]}
    placed = ok(await client.post("/orders", json=order, headers=john | _key("order")), 201)
    again = await client.post("/orders", json=order, headers=john | _key("order"))
    assert ok(again, 201) == placed
    assert "Idempotent-Replayed" in again.headers
    path = f"/orders/{placed['id']}"
    assert placed["total_amount"] == "479.94"
    payment = {"amount": "479.94", "method": "card", "reference": NAMES[1]}
    ok(await client.post(f"{path}/payments", json=payment, headers=staff | _key("pay")), 201)
    ok(await client.post(f"{path}/cancel", headers=john))
    refused = await client.post("/tags", json={"name": NAMES[2]}, headers=staff)
    assert ok(refused, 201)["name"] == NAMES[2]
    assert ok(await client.post("/tags", json={"name": NAMES[2]}, headers=staff), 409)["title"] == "Conflict"


async def _look_at_it(client: AsyncClient, staff: dict[str, str], john: dict[str, str]) -> None:
    assert ok(await client.get("/products", params={"search": "C:\\new"}))["total"] == 1
    assert ok(await client.get("/products", params={"search": '|| a "test"'}))["total"] == 1
    for path in ("/orders", "/notifications", "/users/me", "/accounts/me"):
        ok(await client.get(path, headers=john))
    for path in ("/orders/stats/summary", "/users/stats/top-spenders", "/products/stats/by-category", "/health/db"):
        response = await client.get(path, headers=staff)
        assert response.status_code in {200, 404}, response.text
    assert ok(await client.get("/health/ready")) == {"status": "ok"}


def _key(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}
