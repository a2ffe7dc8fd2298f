"""What a command changes is in the audit trail, under the name of the command."""

import signal
from datetime import timedelta
from pathlib import Path

import pytest

from api import __main__ as cli
from api.commands.command import with_database
from api.database.sessions import Database
from api.settings import Settings
from tests.alembic_support import sql
from tests.commands.support import finish, read_until, running
from tests.factories import a_token, a_user
from tests.support import FreshSession

WITHOUT_ENTRY = {
    "verify": "it reads",
    "backup": "it reads",
    "export": "it reads",
    "openapi": "it asks no database",
    "send-test-mail": "it asks no database",
    "worker": "what it purges has an entry by `purge`: see tests/worker/test_jobs.py",
    "demo": "it fills a file of its own, as `seed` does",
}
"""Commands that change no row that the trail follows, each with its reason."""


def entries(url: str) -> list[tuple[str, str, str]]:
    """Command, action and table of each entry; no user, token or request has one."""
    statement = "SELECT command, action, entity, user_id, token_id, request_id FROM audit_entries ORDER BY id"
    found = [tuple(row) for row in sql(url, statement)]
    assert {row[3:] for row in found} <= {(None, None, None)}
    return [row[:3] for row in found]


def test_create_admin(migrated: str) -> None:
    given = ["--username", "manager", "--email", "manager@example.com", "--password", "SecurePass123"]
    assert cli.main(["create-admin", *given]) == 0
    assert entries(migrated) == [("create-admin", "created", "users")]
    ((changes,),) = sql(migrated, "SELECT changes FROM audit_entries")
    assert "manager" not in str(changes)
    assert "is_superuser" in str(changes)


def test_purge(migrated: str) -> None:
    async def expire(database: Database) -> None:
        async with FreshSession(database.engine) as session:
            user = await a_user(session)
            for days in (-2, -1, 1):
                await a_token(session, user, days=timedelta(days=days).days)

    with_database(Settings(_env_file=None, database_url=migrated), expire)
    assert cli.main(["purge"]) == 0
    assert entries(migrated) == [("purge", "deleted", "tokens")] * 2
    assert cli.main(["verify"]) == 0


def test_serve(url: str, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DATABASE_URL", url)
    with running("api") as process:
        read_until(process, r"(The documentation is at)")
        finish(process, signal.SIGTERM)
    assert entries(url) == [("serve", "created", "users")]


def test_import(migrated: str, tmp_path: Path) -> None:
    file = tmp_path / "products.csv"
    file.write_text("sku,name,price,stock_quantity\nWH-001,Headphones,79.99,5\n")
    assert cli.main(["import", "products", str(file)]) == 0
    assert entries(migrated) == [("import", "created", "products")]
    file.write_text("sku,price\nWH-001,69.99\n")
    assert cli.main(["import", "products", str(file)]) == 0
    assert entries(migrated)[1:] == [("import", "changed", "products")]
    assert cli.main(["verify"]) == 0


def test_seed(migrated: str) -> None:
    assert cli.main(["seed", "--products", "3", "--customers", "2", "--orders", "2", "--seed", "1"]) == 0
    written = entries(migrated)
    assert {command for command, _, _ in written} == {"seed"}
    assert {"products", "users", "orders"} <= {table for _, _, table in written}
    assert cli.main(["verify"]) == 0


def test_every_command_is_tested_or_has_a_reason() -> None:
    tested = {name.removeprefix("test_").replace("_", "-") for name in globals() if name.startswith("test_")}
    for command in cli.COMMANDS:
        assert command.name in tested | WITHOUT_ENTRY.keys(), (
            f"add `test_{command.name.replace('-', '_')}` to tests/commands/test_audited_commands.py, "
            "or a line with a reason to WITHOUT_ENTRY there"
        )
