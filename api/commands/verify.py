"""`python -m api verify`: prove the books, in SQL, on the live database."""

import argparse
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import text

from api.commands import trail_check
from api.commands.checks import Check, checks_on
from api.commands.command import Command, with_database
from api.database.sessions import Database
from api.settings import Settings

MAX_ROWS_NAMED = 20
"""Wrong rows of one check that are printed: enough to see what they have in common."""


async def verify(database: Database) -> bool:
    """Run every check, print what each finds, and return whether all is well."""
    checks = checks_on(database.backend)
    async with database.engine.connect() as connection:
        broken = [check for check in checks if not await _holds(connection, check)]
        broken_in_all = len(broken) + (not await _trail_holds(connection))
    checked = len(checks) + 1
    print(f"{checked} checks, {broken_in_all} broken" if broken_in_all else f"{checked} checks, all is well")
    return not broken_in_all


async def _holds(connection: AsyncConnection, check: Check) -> bool:
    started = time.perf_counter()
    async with _in_its_own_time(connection):
        wrong = (await connection.execute(text(check.wrong))).all()
    await _print_outcome(connection, check.promise, check.table, started, len(wrong))
    _print_named([f"{check.table}: {_named(row)}" for row in wrong[:MAX_ROWS_NAMED]], len(wrong))
    return not wrong


async def _print_outcome(connection: AsyncConnection, promise: str, table: str, started: float, wrong: int) -> None:
    milliseconds = (time.perf_counter() - started) * 1_000
    rows = (await connection.execute(text(f"SELECT COUNT(*) FROM {table}"))).scalar_one()  # noqa: S608
    print(f"{'BROKEN' if wrong else 'ok':6}  {promise} ({rows:,} {table}, {milliseconds:.0f} ms)")


def _print_named(named: Sequence[str], wrong: int) -> None:
    for each in named:
        print(f"        {each}")
    if wrong > len(named):
        print(f"        and {wrong - len(named):,} more")


async def _trail_holds(connection: AsyncConnection) -> bool:
    started, named, wrong = time.perf_counter(), [], 0
    async with _in_its_own_time(connection):
        async for difference in trail_check.differences(connection):
            wrong += 1
            if wrong <= MAX_ROWS_NAMED:
                named.append(difference)
    await _print_outcome(connection, trail_check.PROMISE, "audit_entries", started, wrong)
    _print_named(named, wrong)
    return not wrong


@asynccontextmanager
async def _in_its_own_time(connection: AsyncConnection) -> AsyncIterator[None]:
    """A large shop's books take longer than a request may. The limit is lifted for one transaction, because behind
    PgBouncer the session is not ours."""
    if connection.dialect.name != "postgresql":
        yield
        return
    await connection.exec_driver_sql("BEGIN READ ONLY")
    await connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    yield
    await connection.exec_driver_sql("COMMIT")


def _named(row: Row[tuple[object, ...]]) -> str:
    return ", ".join(f"{name} {value}" for name, value in row._mapping.items())


def _run(settings: Settings, options: argparse.Namespace) -> int:
    return 0 if with_database(settings, verify) else 1


command = Command("verify", "prove the books: stock, orders, payments and balances", _run)
