"""SIGTERM, as each deployment sends it: what is in flight is finished, and nothing new is begun."""

import asyncio
import json
import sys
from pathlib import Path

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
            order = json.dumps({"items": [{"product_id": product, "quantity": 2}]}).encode()
            async with another_writer(migrated) as holding:
                await holding.exec(update(Product).where(col(Product.id) == product).values(description="Held"))
                reader, writer = await service.begin("POST /orders", customer.headers, len(order))
                writer.write(order)
                placing = asyncio.create_task(reader.read())
                service.terminate()
                await asyncio.sleep(1)
                assert not placing.done(), "it was to be in flight"
            head, _, placed = (await placing).partition(b"\r\n\r\n")
            writer.close()
            code = await asyncio.to_thread(service.process.wait, 30)

            assert head.startswith(b"HTTP/1.1 201 "), head + placed
            assert code == 0, service.last_words()
            stored = (await session.exec(select(Order.id))).all()
            assert stored == [json.loads(placed)["id"]]
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", service.port)
        assert service.run(sys.executable, "-m", "api", "verify").returncode == 0
