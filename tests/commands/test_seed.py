"""`python -m api seed`: it fills the shop that the settings name, and only where it should."""

import signal
import time

import pytest

from api import __main__ as cli
from tests.commands.support import count, finish, running

SMALL = ("--products", "30", "--customers", "10", "--orders", "20")


class TestSeed:
    def test_a_new_shop_is_filled_and_its_books_are_right(
        self, migrated: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["seed", *SMALL, "--seed", "7", "--until", "2026-03-28"]) == 0

        output = capsys.readouterr()
        assert "Sign in as admin with the password" in output.out
        assert "Added 30 products, 10 customers and 20 orders." in output.out
        assert output.err == "", "a progress bar is for a terminal"
        rows = {table: count(migrated, table) for table in ("products", "orders", "posts")}
        assert rows == {"products": 30, "orders": 20, "posts": 11}
        assert count(migrated, "users") == 11
        assert count(migrated, "orders", "created_at >= '2026-03-28'") == 0
        assert cli.main(["verify"]) == 0

    def test_a_shop_in_use_is_filled_only_with_add(self, migrated: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["seed", "--products", "5", "--customers", "0", "--orders", "0"]) == 0
        assert cli.main(["seed", *SMALL]) == 1
        assert capsys.readouterr().err == (
            "error: the shop has products, customers or orders already: --add adds more\n"
        )
        assert count(migrated, "products") == 5

        assert cli.main(["seed", *SMALL, "--add"]) == 0
        assert count(migrated, "products") == 35

    def test_production_is_not_filled(
        self, migrated: str, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        environment.setenv("ENVIRONMENT", "production")
        environment.setenv("ALLOWED_HOSTS", "shop.example.com")
        environment.setenv("FORWARDED_ALLOW_IPS", "127.0.0.1")
        assert cli.main(["seed", *SMALL]) == 1
        assert "error: ENVIRONMENT is production" in capsys.readouterr().err
        assert count(migrated, "products") == 0

    @pytest.mark.parametrize(
        ("option", "value", "complaint"),
        [
            ("--products", "-1", "must be a whole number from 0 to 100,000,000"),
            ("--orders", "many", "must be a whole number"),
            ("--customers", "1e9", "must be a whole number"),
            ("--until", "tomorrow", "must be a date or a time such as"),
            ("--until", "9000-01-01", "must not be in the future"),
            ("--seed", "x", "invalid int value"),
        ],
    )
    @pytest.mark.usefixtures("environment")
    def test_a_wrong_argument_is_refused(
        self, option: str, value: str, complaint: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit) as stopped:
            cli.main(["seed", f"{option}={value}"])
        assert stopped.value.code == 2
        assert f"argument {option}: {complaint}" in capsys.readouterr().err

    @pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
    def test_an_interrupted_one_leaves_right_books(self, migrated: str, capsys: pytest.CaptureFixture[str]) -> None:
        with running("api", "seed", "--products", "50", "--customers", "20", "--orders", "50000") as process:
            deadline = time.monotonic() + 60
            while count(migrated, "orders") < 50 and time.monotonic() < deadline:
                time.sleep(0.1)
            code, output = finish(process, signal.SIGINT)
        assert (code, "Traceback" in output) == (130, False), output
        assert 50 <= count(migrated, "orders") < 50_000
        assert cli.main(["verify"]) == 0
