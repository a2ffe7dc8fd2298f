"""`python -m api purge`: delete idempotency keys, tokens and counted attempts that have expired."""

import argparse

from api.auth import throttling, tokens
from api.commands.command import Command, with_database
from api.database.sessions import Database
from api.settings import Settings
from api.web import stored_answers


def purge(settings: Settings, options: argparse.Namespace) -> int:
    async def delete(database: Database) -> tuple[int, int, int]:
        async with database.transaction() as session:
            attempts = await throttling.purge(session)
            return await stored_answers.purge(session), await tokens.purge(session), attempts

    keys, expired, attempts = with_database(settings, delete)
    print(f"Deleted {keys} idempotency keys older than {stored_answers.KEY_LIFETIME.days} days.")
    print(f"Deleted {expired} expired tokens.")
    print(f"Deleted {attempts} counters of past attempts.")
    return 0


command = Command("purge", "delete idempotency keys, tokens and counted attempts that have expired", purge)
