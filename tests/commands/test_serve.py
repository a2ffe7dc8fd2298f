"""`python -m api`: a start prepares the database, and a start that fails says why in one line."""

import re
import signal
import socket
from pathlib import Path

import httpx
import pytest
from sqlalchemy import make_url

from api import __main__ as cli
from api.models.user import User
from tests.alembic_support import alembic, put
from tests.commands.support import count, finish, read_until, running, serve_nothing
from tests.databases import ask
from tests.support import PASSWORD_HASH

pytestmark = pytest.mark.usefixtures("environment")


class TestServe:
    def test_a_first_start_makes_tables_and_staff_and_a_second_start_makes_neither(
        self, url: str, environment: pytest.MonkeyPatch
    ) -> None:
        environment.setenv("DATABASE_URL", url)
        with running("api") as process:
            output, docs = read_until(process, r"(http://127\.0\.0\.1:\d+/docs)")
            password = re.search(r"Sign in as admin with the password (\S+)", output)
            assert password is not None, output
            assert len(password[1]) >= 16
            assert "Running upgrade" in output
            assert httpx.get(docs, timeout=30).status_code == 200
            form = {"username": "admin", "password": password[1]}
            assert httpx.post(docs.replace("docs", "auth/token"), data=form).status_code == 200
            code, output = finish(process, signal.SIGTERM)
            assert (code, "Traceback" in output) == (0, False), output

        alembic(url, "check")
        with running("api", "serve") as process:
            output, docs = read_until(process, r"(http://127\.0\.0\.1:\d+/docs)")
            assert output.count("\n") == 1, output
            assert httpx.get(docs, timeout=30).status_code == 200
            code, output = finish(process, signal.SIGINT)
            assert (code, "Traceback" in output) == (130, False), output
        assert count(url, "users") == 1

    def test_two_simultaneous_first_starts_add_one_admin(self, url: str, environment: pytest.MonkeyPatch) -> None:
        environment.setenv("DATABASE_URL", url)
        with running("api") as first, running("api") as second:
            outputs = [read_until(process, "(/docs)")[0] for process in (first, second)]
            introduced = sum("Sign in as admin" in output for output in outputs)
            assert introduced == 1, f"{introduced} processes showed a password: {outputs}"
            assert [finish(process, signal.SIGTERM)[0] for process in (first, second)] == [0, 0]
        assert count(url, "users") == 1

    def test_a_port_in_use_is_reported_in_one_line(
        self, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            environment.setenv("PORT", str(port))
            assert cli.main([]) == 1
        assert capsys.readouterr().err == f"error: cannot listen on 127.0.0.1 port {port}: Address already in use\n"
        assert not Path("shop.db").exists()

    @pytest.mark.parametrize(
        ("url", "complaint"),
        [
            ("postgres://shop:100%25@127.0.0.1:1/shop", "Connection refused"),
            ("mysql://shop:100%25@127.0.0.1:1/shop", "Can't connect to MySQL server on '127.0.0.1'"),
            ("sqlite:////nowhere/shop.db", "/nowhere/shop.db: unable to open database file"),
        ],
        ids=["postgresql", "mariadb", "sqlite"],
    )
    def test_an_unreachable_database_is_reported_in_one_line(
        self, url: str, complaint: str, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        environment.setenv("DATABASE_URL", url)
        assert cli.main([]) == 1
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert complaint in error
        assert error.count("\n") == 1
        assert "100%" not in error

    def test_a_database_of_a_later_version_is_reported_in_one_line(
        self, migrated: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ask(make_url(migrated), "UPDATE alembic_version SET version_num = 'tomorrow'")
        assert cli.main([]) == 1
        error = capsys.readouterr().err
        assert error.startswith("error: The database is of a newer release than this code.")
        assert "'tomorrow'" in error
        assert error.count("\n") == 1

    def test_invalid_settings_are_reported_by_their_names_in_the_environment(
        self, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        environment.setenv("PORT", "http")
        environment.setenv("DATABASE_URL", "oracle://host/shop")
        assert cli.main([]) == 1
        error = capsys.readouterr().err
        assert "PORT: Input should be a valid integer" in error
        assert "DATABASE_URL: names the unsupported database oracle: use SQLite, PostgreSQL, MariaDB or MySQL" in error

    def test_a_customer_called_admin_does_not_become_staff(
        self, migrated: str, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        put(migrated, User(username="admin", email="admin@example.org", hashed_password=PASSWORD_HASH))
        serve_nothing(environment)
        assert cli.main([]) == 0
        assert "There is no staff user, and a customer has the username" in capsys.readouterr().out
        assert count(migrated, "users") == 1

    @pytest.mark.parametrize(
        ("host", "address"),
        [
            ("127.0.0.1", r"http://127\.0\.0\.1:\d+"),
            ("0.0.0.0", r"http://localhost:\d+"),
            ("::1", r"http://\[::1\]:\d+"),
            ("[::1]", r"http://\[::1\]:\d+"),
            ("localhost", r"http://127\.0\.0\.1:\d+"),
            ("::", r"http://localhost:\d+"),
        ],
        ids=["this computer", "all addresses", "IPv6", "IPv6 in brackets", "a name", "all addresses by IPv6 too"],
    )
    def test_the_printed_address_is_one_that_a_browser_can_open(
        self, host: str, address: str, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        environment.setenv("HOST", host)
        serve_nothing(environment)
        assert cli.main([]) == 0
        assert re.search(rf"^The documentation is at {address}/docs$", capsys.readouterr().out, re.MULTILINE)
