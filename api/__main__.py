"""The command line: `python -m api` serves the shop, and `python -m api --help` tells what else there is."""

import argparse
import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from getpass import getpass
from typing import Any, NoReturn, TypeVar

import uvicorn
from alembic.util import CommandError
from pydantic import ValidationError
from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

from api import logs, setup, verify
from api.database import Database
from api.database_errors import refusal_for
from api.models import UserCreate
from api.rules import idempotency, throttle, users
from api.settings import Settings, get_settings

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")


class Failure(Exception):
    """Something that whoever started the command can mend. It is told in one line."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, and return the exit code."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)
    try:
        settings = get_settings()
        logs.set_up(settings)
        code: int = options.run(settings, options)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except EOFError:
        return 1
    except (Failure, ValidationError, CommandError, SQLAlchemyError, OSError) as error:
        logger.debug("The command failed.", exc_info=True)
        print(f"error: {_reason(error)}", file=sys.stderr)
        return 1
    return code


def serve(settings: Settings, options: argparse.Namespace) -> int:
    with _listen(settings.host, settings.port) as listener:
        setup.migrate(settings)
        _introduce_admin(settings)
        print(f"The documentation is at {_address(listener)}/docs", flush=True)
        server = uvicorn.Server(
            uvicorn.Config(
                "api.main:app",
                log_config=None,
                log_level=settings.log_level,
                timeout_graceful_shutdown=10,
                proxy_headers=False,  # the app sees to those, by FORWARDED_ALLOW_IPS
                server_header=False,
            )
        )
        server.run(sockets=[listener])
    return 0 if server.started else 1


def _introduce_admin(settings: Settings) -> None:
    try:
        admin = _with_database(settings, setup.create_first_admin)
    except IntegrityError:
        print("There is no staff, and a customer is called admin: see python -m api create-admin.", flush=True)
    else:
        if admin is not None:
            print(
                f"Sign in as {admin.username} with the password {admin.password} - it is not shown again.", flush=True
            )


def create_admin(settings: Settings, options: argparse.Namespace) -> int:
    data = UserCreate(
        username=options.username or _ask("Username", input),
        email=options.email or _ask("E-mail address", input),
        password=options.password or _ask("Password", getpass),
    )
    _with_database(settings, lambda database: setup.create_admin(database, data))
    print(f"{data.username} may sign in, as staff.")
    return 0


def verify_books(settings: Settings, options: argparse.Namespace) -> int:
    return 0 if _with_database(settings, verify.verify) else 1


def purge(settings: Settings, options: argparse.Namespace) -> int:
    async def forget(database: Database) -> tuple[int, int, int]:
        async with database.transaction() as session:
            attempts = await throttle.purge(session)
            return await idempotency.purge(session), await users.purge_tokens(session), attempts

    keys, tokens, attempts = _with_database(settings, forget)
    print(f"{keys} idempotency keys were older than {idempotency.KEPT.days} days, and {tokens} tokens had expired.")
    print(f"{attempts} counts of attempts were of past windows.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m api",
        description="Without a command: bring the database up to date and serve the shop.",
        epilog="Settings come from the environment and from a file .env; .env.example explains each.",
    )
    parser.set_defaults(run=serve)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    def add(run: Callable[[Settings, argparse.Namespace], int], name: str, about: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        command.set_defaults(run=run)
        return command

    add(serve, "serve", "bring the database up to date and serve the shop (the default)")
    admin = add(create_admin, "create-admin", "add a member of staff; asks for what is not given")
    admin.add_argument("--username", help="3 to 50 letters, digits and _")
    admin.add_argument("--email", help="an address that nobody else has here")
    admin.add_argument("--password", help="8 to 128 characters; others on this computer can see it here")
    add(verify_books, "verify", "prove the books: stock, orders, payments and balances")
    add(purge, "purge", "forget idempotency keys, tokens and counted attempts that are past their time")
    return parser


def _stop(number: int, frame: object) -> NoReturn:
    """SIGTERM is the usual way to stop a server, not a failure."""
    raise SystemExit(0)


def _listen(host: str, port: int) -> socket.socket:
    """Take the port, before anything else is done; 0 is any that is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2_048)
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]
        raise Failure(f"cannot listen on {host} port {port}: {reason}") from error


def _address(listener: socket.socket) -> str:
    """Where a browser on this computer finds it."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _with_database(settings: Settings, work: Callable[[Database], Awaitable[Answer]]) -> Answer:
    async def run() -> Answer:
        database = Database(settings)
        try:
            return await work(database)
        finally:
            await database.close()

    setup.check_file(settings)
    return asyncio.run(run())


def _ask(question: str, read: Callable[[str], str]) -> str:
    if not sys.stdin.isatty():
        raise Failure(f"the {question.lower()} is missing, and nobody is there to be asked")
    return read(f"{question}: ")


def _reason(error: Exception) -> str:
    match error:
        case ValidationError():
            return "; ".join(_what_is_wrong(each, error.title) for each in error.errors())
        case IntegrityError() if refusal := refusal_for(error):
            return refusal.detail
        case SQLAlchemyError():
            return _what_the_database_said(error)
    return str(error)


def _what_the_database_said(error: SQLAlchemyError) -> str:
    cause = getattr(error, "orig", None) or error
    said = str(cause.args[-1] if cause.args else cause).partition("\n")[0]
    outdated = isinstance(error, ProgrammingError) or said.startswith("no such")
    return f"{said} - where tables are missing or old, run alembic upgrade head" if outdated else said


def _what_is_wrong(error: Mapping[str, Any], model: str) -> str:
    """A setting goes by its name in the environment."""
    field = ".".join(str(part) for part in error["loc"])
    name = field.upper() if model == Settings.__name__ else field
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{name}: {message}" if name else message


if __name__ == "__main__":
    sys.exit(main())
