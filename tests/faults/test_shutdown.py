"""SIGTERM, as each deployment sends it: what is in flight is finished, and nothing new is begun."""

import asyncio
import sys
from pathlib import Path

import httpx
import pytest
from sqlmodel import col, select, update

from api.models.order import Order
from api.models.product import Product
from tests.faults.service import PROCFILE, serving
from tests.faults.shop import a_look_into, another_writer, open_shop, sign_in

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("command", [PROCFILE, f"{sys.executable} -m api"], ids=["procfile", "python -m api"])
async def test_a_request_in_flight_is_finished(migrated: str, command: str, tmp_path: Path) -> None:
    with serving(migrated, tmp_path, command) as service:
        async with a_look_into(migrated) as session:
            staff, customer = await sign_in(session, 2)
            product, *_ = await open_shop(service, staff, [customer])
            async with httpx.AsyncClient(base_url=service.url, headers=customer.headers, timeout=20) as client:
                async with another_writer(migrated) as holding:
                    await holding.exec(update(Product).where(col(Product.id) == product).values(description="Held"))
                    order = {"items": [{"product_id": product, "quantity": 2}]}
                    placing = asyncio.create_task(client.post("/orders", json=order))
                    await asyncio.sleep(0.5)
                    service.terminate()
                    await asyncio.sleep(1)
                    assert not placing.done(), "it was to be in flight"
                placed = await placing
            code = await asyncio.to_thread(service.process.wait, 15)

            assert placed.status_code == 201, placed.text
            assert code == 0, service.last_words()
            stored = (await session.exec(select(Order.id))).all()
            assert stored == [placed.json()["id"]]
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", service.port)
        assert service.run(sys.executable, "-m", "api", "verify").returncode == 0
