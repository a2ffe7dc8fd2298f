"""`python -m api verify`: prove the books, in SQL, on the live database."""

import argparse
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import text

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
    print(f"{len(checks)} checks, {len(broken)} broken" if broken else f"{len(checks)} checks, all is well")
    return not broken


async def _holds(connection: AsyncConnection, check: Check) -> bool:
    started = time.perf_counter()
    async with _in_its_own_time(connection):
        wrong = (await connection.execute(text(check.wrong))).all()
    milliseconds = (time.perf_counter() - started) * 1_000
    rows = (await connection.execute(text(f"SELECT COUNT(*) FROM {check.table}"))).scalar_one()  # noqa: S608
    print(f"{'BROKEN' if wrong else 'ok':6}  {check.promise} ({rows:,} {check.table}, {milliseconds:.0f} ms)")
    for row in wrong[:MAX_ROWS_NAMED]:
        print(f"        {check.table}: {_named(row)}")
    if len(wrong) > MAX_ROWS_NAMED:
        print(f"        and {len(wrong) - MAX_ROWS_NAMED:,} more")
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
