"""The command line itself: its help, and a command that is interrupted."""

import json
import re

import pytest

from api import __main__ as cli
from api.main import create_app


class TestCommandLine:
    def test_the_help_names_every_command(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as stopped:
            cli.main(["--help"])
        assert stopped.value.code == 0
        output = capsys.readouterr().out
        for command in ("serve", "create-admin", "verify", "purge", "backup", "demo", "seed", "openapi"):
            assert re.search(rf"^    {command}\b", output, re.MULTILINE), f"{command} is not in the help:\n{output}"

    def test_the_document_is_printed_as_it_is_served(
        self, environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        environment.setenv("SHOP_NAME", "Kopfhörer & Co")
        environment.setenv("DATABASE_URL", "postgresql://nowhere.example/shop")  # nobody asks it
        assert cli.main(["openapi"]) == 0
        printed = capsys.readouterr().out
        assert json.loads(printed) == create_app().openapi()
        assert '"title": "Kopfhörer & Co"' in printed

    def test_an_interrupted_command_ends_without_a_traceback(self, environment: pytest.MonkeyPatch) -> None:
        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        environment.setattr("api.commands.purge.with_database", interrupt)
        assert cli.main(["purge"]) == 130
