"""What every command is made of, and how one that fails says why in one line."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError
from sqlalchemy.exc import IntegrityError, ProgrammingError, SQLAlchemyError

from api.commands.setup import check_file
from api.database.errors import message_of, refusal_for
from api.database.sessions import Database
from api.settings import Settings

Answer = TypeVar("Answer")


def _no_arguments(parser: argparse.ArgumentParser) -> None:
    pass


@dataclass(frozen=True)
class Command:
    """A command of `python -m api`. `run` returns the exit code."""

    name: str
    help: str
    run: Callable[[Settings, argparse.Namespace], int]
    add_arguments: Callable[[argparse.ArgumentParser], None] = _no_arguments


class CommandFailed(Exception):
    """A failure that the person who started the command can mend."""


def with_database(settings: Settings, work: Callable[[Database], Awaitable[Answer]]) -> Answer:
    """Run something with the database, in an event loop of its own."""

    async def run() -> Answer:
        database = Database(settings)
        try:
            return await work(database)
        finally:
            await database.close()

    check_file(settings)
    return asyncio.run(run())


def reason_of(error: Exception) -> str:
    """Why a command failed, in one line without secrets."""
    match error:
        case ValidationError():
            return "; ".join(_mistake(each) for each in error.errors())
        case IntegrityError() if refusal := refusal_for(error):
            return refusal.detail
        case SQLAlchemyError():
            return _database_reason(error)
    return str(error)


def _database_reason(error: SQLAlchemyError) -> str:
    message = message_of(error)
    outdated = isinstance(error, ProgrammingError) or message.startswith("no such")
    return f"{message} - if tables are missing or outdated, run alembic upgrade head" if outdated else message


def _mistake(error: Mapping[str, Any]) -> str:
    field = ".".join(str(part) for part in error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{field}: {message}" if field else message
