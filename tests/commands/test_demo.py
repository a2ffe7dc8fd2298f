"""`python -m api demo`: an invented shop in a file of its own, which never comes near the shop's own database."""

import re
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from api import __main__ as cli
from api.demo.fill import Size
from api.settings import get_settings
from tests.commands.support import count, finish, read_until, running, serve_nothing

DEMO = "sqlite:///demo.db"


@pytest.fixture
def small(environment: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A demo that is made in no time, and whose server ends as soon as it has started."""
    environment.setattr("api.commands.demo.SIZE", Size(products=10, customers=3, orders=5))
    serve_nothing(environment)
    return environment


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
def test_it_serves_a_shop_where_staff_and_a_customer_can_sign_in(migrated: str) -> None:
    """The settings name another database, which stays as it is."""
    with running("api", "demo") as process:
        output, address = read_until(process, r"(http://127\.0\.0\.1:\d+)/docs")
        shown = re.search(r"Sign in as (\w+) \(staff\) or (\w+) \(customer\) with the password (\S+)", output)
        assert shown is not None, output
        orders = {}
        with httpx.Client(base_url=address, timeout=30) as client:
            assert client.get("/products").json()["total"] > 150
            assert client.get("/docs").status_code == 200
            for username in (shown[1], shown[2]):
                form = {"username": username, "password": shown[3]}
                token = client.post("/auth/token", data=form).json()["access_token"]
                found = client.get("/orders", headers={"Authorization": f"Bearer {token}"}).json()
                orders[username] = found["total"]
        assert orders["admin"] > orders["johndoe"] > 10
        code, output = finish(process, signal.SIGTERM)
        assert (code, "Traceback" in output) == (0, False), output
    assert count(migrated, "users") == count(migrated, "products") == 0
    assert count(DEMO, "orders") == orders["admin"]


def test_a_second_start_uses_the_same_file_and_a_fresh_one_makes_another(
    small: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["demo"]) == 0
    assert cli.main(["verify"]) == 1, "there is no shop.db with tables"
    with closing(sqlite3.connect("demo.db")) as connection, connection:
        connection.execute("UPDATE products SET name = 'Mine' WHERE id = 1")
        connection.execute("UPDATE users SET hashed_password = '' WHERE username = 'admin'")

    assert cli.main(["demo"]) == 0
    assert count(DEMO, "products", "name = 'Mine'") == 1
    assert count(DEMO, "users", "hashed_password <> ''") == 4, "everybody who is shown can sign in again"

    assert cli.main(["demo", "--fresh"]) == 0
    assert count(DEMO, "products", "name = 'Mine'") == 0
    assert count(DEMO, "products") == 10
    assert capsys.readouterr().out.count("Making demo.db") == 2


def test_a_start_that_was_interrupted_leaves_no_half_of_a_demo(small: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with small.context() as while_it_is_made:
        while_it_is_made.setattr("api.commands.demo.fill", interrupt)
        assert cli.main(["demo"]) == 130
    assert not Path("demo.db").exists()

    assert cli.main(["demo"]) == 0
    assert count(DEMO, "products") == 10
    assert sorted(each.name for each in Path().iterdir() if ".part" in each.name) == []


def test_a_password_that_everybody_knows_opens_it_on_this_computer_alone(
    small: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    passwords = []
    for host in ("127.0.0.1", "localhost", "0.0.0.0", "::"):
        small.setenv("HOST", host)
        get_settings.cache_clear()
        assert cli.main(["demo"]) == 0
        passwords += re.findall(r"with the password (\S+)", capsys.readouterr().out)
    assert passwords[:2] == ["Demo1234", "Demo1234"]
    assert len(set(passwords)) == 3
    assert all(len(each) > 16 for each in passwords[2:])


def test_production_has_no_demo(small: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    small.setenv("ENVIRONMENT", "production")
    small.setenv("ALLOWED_HOSTS", "shop.example.com")
    small.setenv("FORWARDED_ALLOW_IPS", "127.0.0.1")
    small.setenv("DATABASE_URL", "sqlite:///shop.db")
    assert cli.main(["demo"]) == 1
    assert "error: ENVIRONMENT is production" in capsys.readouterr().err
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("option", [[], ["--fresh"]], ids=["", "fresh"])
def test_a_file_that_is_no_demo_is_left_alone(
    option: list[str], small: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(sqlite3.connect("demo.db")) as connection, connection:
        connection.execute("CREATE TABLE mine (id INTEGER)")
    before = Path("demo.db").read_bytes()

    assert cli.main(["demo", *option]) == 1
    assert "error: demo.db exists, and is not a demo's file" in capsys.readouterr().err
    assert Path("demo.db").read_bytes() == before


def test_the_shops_own_database_is_not_the_demo(small: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    small.setenv("DATABASE_URL", f"sqlite:///{Path('demo.db').absolute()}")
    assert cli.main(["demo"]) == 1
    assert "error: DATABASE_URL names demo.db" in capsys.readouterr().err
    assert list(Path().iterdir()) == []
