"""What a MariaDB server brings along: modes, engines and character sets that the shop sets itself."""

import pytest
from sqlalchemy import make_url

from api.settings import Settings
from tests.databases import ask
from tests.day import spend_a_day
from tests.faults.servers import mariadb

pytestmark = pytest.mark.faults

MODES = {
    "modes": ("--sql-mode=ANSI,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,NO_AUTO_VALUE_ON_ZERO",),
    "modes at the start of a session": (
        "--sql-mode=",
        "--init-connect=SET sql_mode = 'ANSI_QUOTES,ORACLE,EMPTY_STRING_IS_NULL', foreign_key_checks = 0",
    ),
    "another engine": ("--default-storage-engine=MyISAM",),
    "another character set": (
        "--character-set-server=latin1",
        "--collation-server=latin1_swedish_ci",
        "--skip-character-set-client-handshake",
    ),
    "other ways to write and to end": (
        "--autocommit=0",
        "--completion-type=CHAIN",
        "--transaction-isolation=SERIALIZABLE",
        "--default-time-zone=+05:30",
        "--group-concat-max-len=64",
    ),
}
"""Options of the server's command line."""


@pytest.mark.parametrize("options", MODES.values(), ids=MODES)
async def test_the_shop_works_whatever_the_server_is_set_to(options: tuple[str, ...]) -> None:
    """As a user without privileges, whom `init_connect` concerns."""
    with mariadb(*options) as server:
        url = make_url(server.url)
        ask(url, "CREATE USER shop IDENTIFIED BY 'secret'")
        ask(url, "GRANT ALL ON shop.* TO shop")
        ours = url.set(username="shop", password="secret").render_as_string(hide_password=False)

        await spend_a_day(Settings(_env_file=None, database_url=ours))

        schema = "FROM information_schema.{} WHERE table_schema = 'shop' AND table_name <> 'alembic_version'"
        assert ask(url, f"SELECT GROUP_CONCAT(DISTINCT engine) {schema.format('tables')}") == "InnoDB"
        texts = "AND character_set_name IS NOT NULL"
        found = ask(url, f"SELECT GROUP_CONCAT(DISTINCT character_set_name) {schema.format('columns')} {texts}")
        assert found == "utf8mb4"
