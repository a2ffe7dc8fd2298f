"""`python -m api create-admin`: add a staff user."""

import argparse
import sys
from collections.abc import Callable
from getpass import getpass

from api.commands import setup
from api.commands.command import Command, CommandFailed, with_database
from api.models.user import UserCreate
from api.settings import Settings


def create_admin(settings: Settings, options: argparse.Namespace) -> int:
    data = UserCreate(
        username=options.username or _ask("Username", input),
        email=options.email or _ask("E-mail address", input),
        password=options.password or _ask("Password", getpass),
    )
    with_database(settings, lambda database: setup.add_staff_user(database, data))
    print(f"{data.username} can sign in now, as staff.")
    return 0


def _ask(question: str, read: Callable[[str], str]) -> str:
    if not sys.stdin.isatty():
        raise CommandFailed(f"the {question.lower()} is missing, and there is no terminal to ask at")
    return read(f"{question}: ")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--username", help="3 to 50 letters, digits and _")
    parser.add_argument("--email", help="an address that no other user has")
    parser.add_argument("--password", help="8 to 128 characters; other users of this computer can see it here")


command = Command("create-admin", "add a staff user; asks for what is not given", create_admin, _add_arguments)
