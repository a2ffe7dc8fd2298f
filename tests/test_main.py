"""The command line: `python -m api` and its commands, and what the Procfile runs."""

import logging
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import httpx
import pytest
from sqlalchemy import make_url

from api import __main__ as cli
from api import logs
from api.auth.tokens import new_token
from api.commands import serve, setup
from api.commands.command import with_database
from api.main import create_app
from api.models.base import utcnow
from api.models.idempotency_key import IdempotencyKey
from api.models.token import TokenKind
from api.models.user import User
from api.settings import Settings, get_settings
from tests.databases import Backend, ask
from tests.support import PASSWORD_HASH
from tests.test_migrations import alembic, put

ROOT = Path(__file__).parent.parent
PASSWORD = "CorrectHorse1"


@pytest.fixture
def url(backend: Backend) -> Iterator[str]:
    """Of a database with nothing in it."""
    with backend.new_database() as url:
        yield url


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Far from the checkout, without settings of whoever runs the tests, and with signals and logging restored."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PORT", "0")
    monkeypatch.chdir(tmp_path)
    get_settings.cache_clear()
    on_sigterm = signal.getsignal(signal.SIGTERM)
    levels = {name: logging.getLogger(name).level for name in ("api", "alembic.runtime.migration")}
    yield monkeypatch
    get_settings.cache_clear()
    signal.signal(signal.SIGTERM, on_sigterm)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logging.getLogger("alembic.runtime.migration").filters.clear()


@pytest.fixture
def migrated(url: str, environment: pytest.MonkeyPatch) -> str:
    alembic(url, "upgrade", "head")
    environment.setenv("DATABASE_URL", url)
    return url


def count(url: str, table: str, where: str = "1 = 1") -> int:
    return int(ask(make_url(url), f"SELECT count(*) FROM {table} WHERE {where}"))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def finish(process: "subprocess.Popen[str]", sent: signal.Signals) -> tuple[int, str]:
    """Stop a process, and return its exit code and what is left of its output."""
    process.send_signal(sent)
    output, _ = process.communicate(timeout=30)
    return process.returncode, output


@contextmanager
def running(*command: str, cwd: Path | None = None) -> Iterator["subprocess.Popen[str]"]:
    """A process of its own group, of which nothing is left in the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def read_until(process: "subprocess.Popen[str]", pattern: str) -> tuple[str, str]:
    """What the process wrote up to the line with the pattern, and what the pattern found there."""
    output = ""
    assert process.stdout is not None
    for line in process.stdout:
        output += line
        if found := re.search(pattern, line):
            return output, found[1]
    raise AssertionError(f"{pattern} is not in the output:\n{output}")


class TestServe:
    def test_a_first_start_prepares_everything_and_a_second_one_nothing(
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

    def test_one_admin_is_made_where_two_start_at_once(self, url: str, environment: pytest.MonkeyPatch) -> None:
        environment.setenv("DATABASE_URL", url)
        with running("api") as one, running("api") as other:
            outputs = [read_until(process, "(/docs)")[0] for process in (one, other)]
            assert sum("Sign in as admin" in output for output in outputs) == 1, outputs
            assert [finish(process, signal.SIGTERM)[0] for process in (one, other)] == [0, 0]
        assert count(url, "users") == 1

    def test_a_port_in_use_is_told_in_one_line(
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
    )
    def test_a_database_that_cannot_be_reached_is_told_in_one_line(
        self, url: str, complaint: str, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        environment.setenv("DATABASE_URL", url)
        assert cli.main([]) == 1
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert complaint in error
        assert error.count("\n") == 1
        assert "100%" not in error

    def test_a_database_of_a_later_version_is_told_in_one_line(
        self, migrated: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        ask(make_url(migrated), "UPDATE alembic_version SET version_num = 'tomorrow'")
        assert cli.main([]) == 1
        assert capsys.readouterr().err == "error: Can't locate revision identified by 'tomorrow'\n"

    def test_settings_are_told_by_the_names_that_they_have(
        self, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        environment.setenv("PORT", "http")
        environment.setenv("DATABASE_URL", "oracle://host/shop")
        assert cli.main([]) == 1
        error = capsys.readouterr().err
        assert "PORT: Input should be a valid integer" in error
        assert "DATABASE_URL: names oracle; SQLite, PostgreSQL and MariaDB or MySQL are supported" in error

    def test_a_customer_called_admin_does_not_become_staff(
        self, migrated: str, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        put(migrated, User(username="admin", email="a@example.com", hashed_password=PASSWORD_HASH))
        environment.setattr("uvicorn.Server", lambda config: SimpleNamespace(started=True, run=lambda sockets: None))
        assert cli.main([]) == 0
        assert "There is no staff, and a customer is called admin" in capsys.readouterr().out
        assert count(migrated, "users") == 1

    @pytest.mark.parametrize(
        ("host", "address"),
        [
            ("127.0.0.1", r"http://127\.0\.0\.1:\d+"),
            ("0.0.0.0", r"http://localhost:\d+"),
            ("::1", r"http://\[::1\]:\d+"),
        ],
    )
    def test_the_address_is_one_for_a_browser(self, host: str, address: str) -> None:
        with serve._listen(host, 0) as listener:
            assert re.fullmatch(address, serve._address(listener))


class TestCreateAdmin:
    def create(self, *, username: str = "boss", email: str = "Boss@example.com", password: str = PASSWORD) -> int:
        return cli.main(["create-admin", "--username", username, "--email", email, "--password", password])

    def test_it_adds_staff(self, migrated: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.create() == 0
        assert capsys.readouterr().out == "boss can sign in now, as staff.\n"
        assert count(migrated, "users", "username = 'boss' AND email = 'boss@example.com'") == 1
        assert count(migrated, "users", "substr(hashed_password, 1, 10) = '$argon2id$'") == 1
        assert with_database(get_settings(), setup._has_staff)

    @pytest.mark.parametrize(
        ("changed", "complaint"),
        [
            ({"username": "other"}, "email is already taken"),
            ({"email": "other@example.com"}, "username is already taken"),
        ],
    )
    def test_a_name_or_an_address_is_had_once(
        self, changed: dict[str, str], complaint: str, migrated: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.create() == 0
        assert self.create(**changed) == 1
        assert capsys.readouterr().err == f"error: {complaint}\n"
        assert count(migrated, "users") == 1

    def test_what_is_wrong_is_told_without_the_password(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.create(username="x y", email="boss", password="weakpassword") == 1
        error = capsys.readouterr().err
        assert "username: " in error
        assert "email: value is not a valid email address" in error
        assert "password: needs at least one upper-case letter and one digit" in error
        assert "weakpassword" not in error

    def test_it_asks_for_what_is_missing(
        self, migrated: str, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        asked: list[str] = []

        def answer(question: str) -> str:
            asked.append(question)
            return {"Username: ": "boss", "E-mail address: ": "boss@example.com", "Password: ": PASSWORD}[question]

        environment.setattr("sys.stdin.isatty", lambda: True, raising=False)
        environment.setattr("builtins.input", answer)
        environment.setattr(cli, "getpass", answer)
        assert cli.main(["create-admin"]) == 0
        assert asked == ["Username: ", "E-mail address: ", "Password: "]
        assert count(migrated, "users") == 1

    def test_it_does_not_wait_where_nobody_can_answer(self, environment: pytest.MonkeyPatch) -> None:
        with running("api", "create-admin", "--username", "boss") as process:
            output, _ = process.communicate(timeout=30)
        assert output == "error: the e-mail address is missing, and nobody is there to be asked\n"
        assert process.returncode == 1

    def test_a_database_without_tables_is_told_what_it_needs(
        self, url: str, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        environment.setenv("DATABASE_URL", url)
        assert self.create() == 1
        assert capsys.readouterr().err.endswith("where tables are missing or old, run alembic upgrade head\n")


class TestOtherCommands:
    def test_verify_answers_with_its_exit_code(self, migrated: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["verify"]) == 0
        ask(make_url(migrated), "UPDATE accounts SET balance = 100 WHERE name = 'Sales'")
        assert cli.main(["verify"]) == 1

    def test_purge_forgets_old_keys_and_expired_tokens(self, migrated: str, capsys: pytest.CaptureFixture[str]) -> None:
        user = User(username="ann", email="ann@example.com", hashed_password=PASSWORD_HASH)
        put(migrated, user)
        for days in (1, 29, 31, 400):
            key = IdempotencyKey(user_id=user.id, route="POST /orders", key=str(days), fingerprint="0" * 64)
            key.created_at = utcnow() - timedelta(days=days)
            put(migrated, key)
        for days in (-1, 0, 1):
            _, token = new_token(user, TokenKind.SESSION, "Test", timedelta(days=days))
            put(migrated, token)
        assert cli.main(["purge"]) == 0
        assert capsys.readouterr().out.splitlines() == [
            "2 idempotency keys were older than 30 days, and 2 tokens had expired.",
            "0 counts of attempts were of past windows.",
        ]
        assert (count(migrated, "idempotency_keys"), count(migrated, "tokens")) == (2, 1)

    def test_help_names_every_command(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as stopped:
            cli.main(["--help"])
        assert stopped.value.code == 0
        output = capsys.readouterr().out
        for command in ("serve", "create-admin", "verify", "purge"):
            assert re.search(rf"^    {command}\b", output, re.MULTILINE)

    def test_an_interrupt_is_no_error(self, environment: pytest.MonkeyPatch) -> None:
        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        environment.setattr(cli, "_with_database", interrupt)
        assert cli.main(["purge"]) == 130


class TestLogging:
    def test_debug_is_for_the_shops_own_loggers(self, environment: pytest.MonkeyPatch) -> None:
        """Drivers log their statements with the values, and so the hashes of passwords."""
        basic: dict[str, Any] = {}
        environment.setattr(logging, "basicConfig", lambda **options: basic.update(options))
        logs.set_up(Settings(log_level="debug"))
        assert basic["level"] == logging.INFO
        assert logging.getLogger("api").level == logging.DEBUG
        logs.set_up(Settings(log_level="error"))
        assert basic["level"] == logging.ERROR

    @pytest.mark.parametrize("level", ["debug", "warning"])
    async def test_is_as_the_settings_say_however_the_shop_is_started(
        self, environment: pytest.MonkeyPatch, level: Literal["debug", "warning"]
    ) -> None:
        """The Procfile's uvicorn starts the app without our command line."""
        environment.setattr(logging, "basicConfig", lambda **_: None)
        app = create_app(Settings(log_level=level))
        async with app.router.lifespan_context(app):
            assert logging.getLogger("api").level == logging.getLevelNamesMapping()[level.upper()]


class TestProcfile:
    @pytest.mark.parametrize("backend", ["sqlite", "postgresql"], indirect=True)
    def test_it_releases_and_serves(self, url: str, environment: pytest.MonkeyPatch) -> None:
        port = free_port()
        environment.setenv("DATABASE_URL", url.replace("postgresql://", "postgres://"))
        environment.setenv("PORT", str(port))
        environment.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        honcho = ["honcho", "--procfile", str(ROOT / "Procfile"), "--env", os.devnull]

        with running(*honcho, "start", "release", cwd=ROOT) as release:
            output, _ = release.communicate(timeout=60)
        assert release.returncode == 0, output
        alembic(url, "check")

        with running(*honcho, "start", "web", cwd=ROOT) as web:
            read_until(web, f"(http://0.0.0.0:{port})")
            response = httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=30)
            assert response.status_code == 200, response.text
            _, output = finish(web, signal.SIGTERM)
        assert "Application shutdown complete" in output
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{port}/health")
