"""`python -m api backup`: a copy that was made under traffic is whole, and it overwrites nothing."""

import asyncio
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from httpx import AsyncClient
from sqlalchemy import make_url

from api import __main__ as cli
from api.commands import backup
from api.settings import get_settings
from tests.commands.support import count
from tests.databases import ask
from tests.web.support import second_process

only_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


@only_sqlite
class TestBackup:
    async def test_a_copy_that_was_made_under_traffic_is_whole(
        self, migrated: str, environment: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """A plain copy of the file has none of the orders, or is broken: they are in the -wal."""
        copies, placed = [tmp_path / f"copy-{number}.db" for number in range(3)], 0
        get_settings.cache_clear()
        async with second_process(get_settings()) as (_, client):
            await sell(client, migrated)
            stop = asyncio.Event()

            async def order() -> None:
                nonlocal placed
                while not stop.is_set():
                    answer = await client.post("/orders", json={"items": [{"product_id": 1, "quantity": 1}]})
                    assert answer.status_code == 201, answer.text
                    placed += 1

            ordering = [asyncio.create_task(order()) for _ in range(4)]
            known: list[int] = []
            for copy in copies:
                async with asyncio.timeout(60):
                    while placed <= sum(known[-1:]):  # noqa: ASYNC110 - an order tells nobody
                        await asyncio.sleep(0.01)
                known.append(placed)
                made = await asyncio.to_thread(run, "backup", str(copy))
                assert made.returncode == 0, made.stderr
                assert f"{copy} holds the database" in made.stdout
            stop.set()
            await asyncio.gather(*ordering)

        assert 0 < known[0] < known[-1] < placed, "there was no traffic"
        for copy, at_least in zip(copies, known, strict=True):
            assert at_least <= count(f"sqlite:///{copy}", "orders") <= placed
            environment.setenv("DATABASE_URL", f"sqlite:///{copy}")
            books = await asyncio.to_thread(run, "verify")
            assert books.returncode == 0, books.stdout
            assert "all is well" in books.stdout
            assert stat.S_IMODE(copy.stat().st_mode) == 0o600, "it holds the hashes of passwords"
        assert not [name for name in names_in(tmp_path) if ".part" in name]

    async def test_a_copy_can_be_put_in_the_place_of_the_database(
        self, migrated: str, environment: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """As the README says: stop the shop, remove the file with its -wal and -shm, and put the copy there."""
        async with second_process(get_settings()) as (_, client):
            await sell(client, migrated)
            assert (await asyncio.to_thread(run, "backup", str(tmp_path / "copy.db"))).returncode == 0
            order = {"items": [{"product_id": 1, "quantity": 1}]}
            assert (await client.post("/orders", json=order)).status_code == 201
        file = Path(str(make_url(migrated).database))
        for each in file.parent.glob(f"{file.name}*"):
            each.unlink()
        shutil.copy(tmp_path / "copy.db", file)
        async with second_process(get_settings()) as (_, client):
            assert (await client.get("/products/1")).json()["stock_quantity"] == 1_000_000
        assert count(migrated, "orders") == 0


def names_in(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "api", *arguments], capture_output=True, text=True, timeout=60)


async def sell(client: AsyncClient, url: str) -> None:
    """Sign in as staff, and sell one product."""
    admin = {"username": "manager", "password": "SecurePass123"}
    added = ["create-admin", "--email", "m@example.com", *(f"--{name}={value}" for name, value in admin.items())]
    assert (await asyncio.to_thread(run, *added)).returncode == 0
    token = (await client.post("/auth/token", data=admin)).json()["access_token"]
    client.headers["Authorization"] = f"Bearer {token}"
    product = {"name": "Lamp", "sku": "LAMP", "price": "1.00", "stock_quantity": 1_000_000}
    assert (await client.post("/products", json=product)).json()["id"] == 1


class TestRefusals:
    @only_sqlite
    @pytest.mark.usefixtures("migrated")
    def test_an_existing_file_is_not_overwritten(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        existing = tmp_path / "copy.db"
        existing.write_text("mine")
        assert cli.main(["backup", str(existing)]) == 1
        assert capsys.readouterr().err == f"error: {existing} exists already\n"
        assert existing.read_text() == "mine"

    @only_sqlite
    @pytest.mark.usefixtures("migrated")
    def test_a_file_that_is_made_meanwhile_is_not_overwritten(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        target, copy = tmp_path / "copy.db", backup._copy

        def copy_slowly(source: Path, part: Path) -> None:
            copy(source, part)
            target.write_text("mine")

        monkeypatch.setattr(backup, "_copy", copy_slowly)
        assert cli.main(["backup", str(target)]) == 1
        assert capsys.readouterr().err == f"error: {target} exists already\n"
        assert target.read_text() == "mine"
        assert "copy.db" in names_in(tmp_path)
        assert not [name for name in names_in(tmp_path) if ".part" in name]

    @only_sqlite
    def test_the_database_itself_is_not_overwritten(self, migrated: str) -> None:
        assert cli.main(["backup", str(make_url(migrated).database)]) == 1
        assert ask(make_url(migrated), "SELECT count(*) FROM categories") == 4

    def test_a_missing_database_is_not_made(
        self, environment: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        environment.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'none.db'}")
        assert cli.main(["backup", str(tmp_path / "copy.db")]) == 1
        assert "there is no database" in capsys.readouterr().err
        assert not list(tmp_path.iterdir())

    @only_sqlite
    @pytest.mark.usefixtures("migrated")
    def test_a_missing_folder_is_one_line(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["backup", str(tmp_path / "nowhere" / "copy.db")]) == 1
        target = tmp_path / "nowhere" / "copy.db"
        assert capsys.readouterr().err == f"error: {target} cannot be written: No such file or directory\n"

    @pytest.mark.parametrize(
        ("scheme", "tool"), [("postgresql", "pg_dump"), ("mysql", "mariadb-dump"), ("mariadb", "mariadb-dump")]
    )
    def test_a_server_has_a_tool_of_its_own(
        self, environment: pytest.MonkeyPatch, scheme: str, tool: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        environment.setenv("DATABASE_URL", f"{scheme}://u:hunter2@host/shop")
        assert cli.main(["backup", "copy.db"]) == 1
        error = capsys.readouterr().err
        assert tool in error
        assert "hunter2" not in error
