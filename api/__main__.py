"""The command line: `python -m api` serves the shop, and `python -m api --help` lists the other commands."""

import argparse
import logging
import signal
import sys
from collections.abc import Sequence

from alembic.util import CommandError
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from api.commands import (
    backup,
    create_admin,
    demo,
    export_file,
    import_file,
    openapi,
    purge,
    seed,
    send_test_mail,
    serve,
    verify,
    worker,
)
from api.commands.command import Command, CommandFailed, reason_of
from api.commands.signals import stop_by_signals
from api.database.trail import running_command
from api.errors import ShopError
from api.settings import InvalidSettings, get_settings
from api.telemetry import logs

logger = logging.getLogger(__name__)

COMMANDS = (
    serve.command,
    worker.command,
    create_admin.command,
    verify.command,
    purge.command,
    backup.command,
    export_file.command,
    import_file.command,
    demo.command,
    seed.command,
    openapi.command,
    send_test_mail.command,
)

EXPECTED = (CommandFailed, InvalidSettings, ValidationError, CommandError, ShopError, SQLAlchemyError, OSError)
"""What the person who starts a command can mend."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, and return the exit code."""
    options = _parser().parse_args(arguments)
    command: Command = options.command
    stop_by_signals()
    try:
        settings = get_settings()
        logs.set_up(settings)
        running_command.set(command.name)
        return command.run(settings, options)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except EOFError:
        return 1
    except EXPECTED as error:
        logger.debug("The command failed.", exc_info=True)
        print(f"error: {reason_of(error)}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m api",
        description="Without a command: bring the database up to date and serve the shop.",
        epilog="Settings come from the environment and from a file .env; .env.example explains each.",
    )
    parser.set_defaults(command=serve.command)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for each in COMMANDS:
        description = f"{each.help[0].upper()}{each.help[1:]}."
        subparser = commands.add_parser(each.name, help=each.help, description=description)
        each.add_arguments(subparser)
        subparser.set_defaults(command=each)
    return parser


if __name__ == "__main__":
    sys.exit(main())
