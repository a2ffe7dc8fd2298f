"""`python -m api create-admin`: it adds a staff user, and asks for missing values."""

import pytest

from api import __main__ as cli
from tests.commands.support import count, running

pytestmark = pytest.mark.usefixtures("environment")

PASSWORD = "CorrectHorse1"


class TestCreateAdmin:
    def create(self, *, username: str = "boss", email: str = "Boss@example.com", password: str = PASSWORD) -> int:
        return cli.main(["create-admin", "--username", username, "--email", email, "--password", password])

    def test_the_command_adds_a_staff_user(self, migrated: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.create() == 0
        assert capsys.readouterr().out == "boss can sign in now, as staff.\n"
        assert count(migrated, "users", "username = 'boss' AND email = 'boss@example.com'") == 1
        assert count(migrated, "users", "substr(hashed_password, 1, 10) = '$argon2id$'") == 1
        assert count(migrated, "users", "is_superuser") == 1

    @pytest.mark.parametrize(
        ("changed", "complaint"),
        [
            ({"username": "other"}, "A user with this email already exists."),
            ({"email": "other@example.com"}, "A user with this username already exists."),
        ],
        ids=["email", "username"],
    )
    def test_a_username_or_an_email_of_another_user_is_refused(
        self, changed: dict[str, str], complaint: str, migrated: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.create() == 0
        assert self.create(**changed) == 1
        assert capsys.readouterr().err == f"error: {complaint}\n"
        assert count(migrated, "users") == 1

    def test_invalid_values_are_named_without_the_password(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.create(username="x y", email="boss", password="weakpassword") == 1
        error = capsys.readouterr().err
        assert "username: " in error
        assert "email: value is not a valid email address" in error
        assert "password: must contain at least one upper-case letter and one digit" in error
        assert "weakpassword" not in error

    def test_missing_values_are_asked_for_on_a_terminal(
        self, migrated: str, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        asked: list[str] = []

        def answer(question: str) -> str:
            asked.append(question)
            return {"Username: ": "boss", "E-mail address: ": "boss@example.com", "Password: ": PASSWORD}[question]

        environment.setattr("sys.stdin.isatty", lambda: True, raising=False)
        environment.setattr("builtins.input", answer)
        environment.setattr("api.commands.create_admin.getpass", answer)
        assert cli.main(["create-admin"]) == 0
        assert asked == ["Username: ", "E-mail address: ", "Password: "]
        assert count(migrated, "users") == 1

    def test_a_missing_value_without_a_terminal_is_an_error(self, environment: pytest.MonkeyPatch) -> None:
        with running("api", "create-admin", "--username", "boss") as process:
            output, _ = process.communicate(timeout=30)
        assert output == "error: the e-mail address is missing, and there is no terminal to ask at\n"
        assert process.returncode == 1

    def test_a_database_without_tables_is_reported_with_the_command_that_adds_them(
        self, url: str, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        environment.setenv("DATABASE_URL", url)
        assert self.create() == 1
        assert capsys.readouterr().err.endswith("if tables are missing or outdated, run alembic upgrade head\n")
