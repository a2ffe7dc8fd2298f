"""`python -m api purge`: delete what has expired, at once; the worker does so daily."""

import argparse
from functools import partial

from api.commands.command import Command, with_database
from api.settings import Settings
from api.web.stored_answers import KEY_LIFETIME
from api.worker import purging


def purge(settings: Settings, options: argparse.Namespace) -> int:
    purged = with_database(settings, partial(purging.purge, settings=settings))
    print(f"Deleted {purged.keys} idempotency keys older than {KEY_LIFETIME.days} days.")
    print(f"Deleted {purged.tokens} expired tokens.")
    print(f"Deleted {purged.attempts} counters of past attempts.")
    print(f"Deleted {purged.registrations} registrations that nobody confirmed in time.")
    print(f"Deleted {purged.events} events older than {purging.EVENT_LIFETIME.days} days.")
    print(f"Deleted {purged.outgoing} notes of what was sent more than {purging.OUTGOING_LIFETIME.days} days ago.")
    return 0


command = Command("purge", "delete idempotency keys, tokens, counted attempts and events that have expired", purge)
