"""`python -m api verify`: prove the books, in SQL, on the live database."""

import argparse
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import text

from api.commands.checks import Check, checks_on
from api.commands.command import Command, with_database
from api.commands.trail_check import ACCEPTED_BY, PROMISE, Gap, accept, gaps
from api.database.sessions import Database
from api.database.trail import Origin
from api.settings import Settings

MAX_ROWS_NAMED = 20
"""Wrong rows of one check that are printed: enough to see what they have in common."""


async def verify(database: Database, *, accepts: bool = False) -> bool:
    """Run every check, print what each finds, and return whether all is well.

    Where it `accepts`, rows that were changed behind the shop's back get an entry in the audit trail.
    """
    checks = checks_on(database.backend)
    async with database.engine.connect() as connection:
        broken = [check for check in checks if not await _holds(connection, check)]
        unexplained = await _gaps(connection, keeps=accepts)
    accepted = 0
    for gap in unexplained if accepts else ():
        async with database.transaction(Origin(command=ACCEPTED_BY)) as session:
            accepted += await accept(session, gap)
    if accepts:
        print(f"        {accepted:,} rows are accepted as they are")
    checked, wrong = len(checks) + 1, len(broken) + bool(unexplained)
    print(f"{checked} checks, {wrong} broken" if wrong else f"{checked} checks, all is well")
    return not wrong


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


async def _gaps(connection: AsyncConnection, *, keeps: bool) -> list[Gap]:
    """The rows that the audit trail does not explain; all of them where it `keeps` them, else those that are named."""
    started, found, wrong = time.perf_counter(), list[Gap](), 0
    async with _in_its_own_time(connection):
        async for gap in gaps(connection):
            wrong += 1
            if keeps or wrong <= MAX_ROWS_NAMED:
                found.append(gap)
    await _print_outcome(connection, PROMISE, "audit_entries", started, wrong)
    _print_named(["; ".join(gap.named[:MAX_ROWS_NAMED]) for gap in found[:MAX_ROWS_NAMED]], wrong)
    return found


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
    return 0 if with_database(settings, partial(verify, accepts=options.accept)) else 1


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--accept",
        action="store_true",
        help="add entries to the audit trail for rows that were changed behind the shop's back: they are named once",
    )


command = Command(
    "verify", "prove the books: stock, orders, payments, balances and the audit trail", _run, _add_arguments
)
