"""The command line itself: its help, and a command that is interrupted."""

import re

import pytest

from api import __main__ as cli


class TestCommandLine:
    def test_the_help_names_every_command(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as stopped:
            cli.main(["--help"])
        assert stopped.value.code == 0
        output = capsys.readouterr().out
        for command in ("serve", "create-admin", "verify", "purge", "backup", "demo", "seed"):
            assert re.search(rf"^    {command}\b", output, re.MULTILINE), f"{command} is not in the help:\n{output}"

    def test_an_interrupted_command_ends_without_a_traceback(self, environment: pytest.MonkeyPatch) -> None:
        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        environment.setattr("api.commands.purge.with_database", interrupt)
        assert cli.main(["purge"]) == 130
