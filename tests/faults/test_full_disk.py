"""A full disk under SQLite: writes are a 503 that leaves nothing, reads go on, and space is all that it needs."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlmodel import func, select

from api.models.order import Order
from tests.faults.service import running
from tests.faults.shop import a_look_into, open_shop, sign_in

pytestmark = pytest.mark.faults

MEGABYTES = 16


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, in memory, which only root can make."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode != 0:
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up("a small disk cannot be mounted here: that takes Linux, and root")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Take all the space that is left."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4_096))
        except OSError:
            return filler


async def test_the_shop_recovers_from_a_full_disk(small_disk: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{small_disk / 'shop.db'}"
    with running(url, tmp_path) as service:
        async with a_look_into(url) as session:
            staff, customer = await sign_in(session, 2)
        product, *_ = await open_shop(service, staff, [customer])
        order = {"items": [{"product_id": product, "quantity": 1}], "shipping_address": "x" * 500}
        placed = 0

        async with httpx.AsyncClient(base_url=service.url, headers=customer.headers, timeout=20) as client:

            async def place(key: int) -> httpx.Response:
                return await client.post("/orders", json=order, headers={"Idempotency-Key": f"k-{key}"})

            filler = fill(small_disk)
            while (refused := await place(placed)).status_code == 201:  # there may be room in the log's file yet
                placed += 1
                assert placed < 300
            assert refused.status_code == 503, refused.text
            assert int(refused.headers["Retry-After"]) > 0
            assert refused.headers["Content-Type"] == "application/problem+json"
            still_refused = [await place(placed) for _ in range(5)]
            reads = [await client.get(path) for path in ("/products", "/orders", "/users/me", "/health/ready") * 5]

            filler.unlink()
            again = await place(placed)
            replayed = [await place(key) for key in range(placed)]

        assert {answer.status_code for answer in still_refused} == {503}
        assert {answer.status_code for answer in reads} == {200}
        assert again.status_code == 201, again.text
        assert "Idempotent-Replayed" not in again.headers
        assert all("Idempotent-Replayed" in answer.headers for answer in replayed)
        async with a_look_into(url) as session:
            assert (await session.exec(select(func.count()).select_from(Order))).one() == placed + 1
        books = service.run(sys.executable, "-m", "api", "verify")
        assert books.returncode == 0, books.stdout
        assert "Exception in ASGI application" not in service.log.read_text()
