"""The plans by which a database runs what the app sends: a plan is checked, because the time of a statement varies."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from psycopg.sql import quote

from api.database.sessions import Database


@contextmanager
def last_statement(database: Database) -> Iterator[list[Any]]:
    """Collect the last statement that the app sends meanwhile, and its parameters."""
    sent: list[Any] = []

    def keep(sql: str, values: Sequence[Any]) -> None:
        sent[:] = [sql, values]

    database.listeners.append(keep)
    try:
        yield sent
    finally:
        database.listeners.remove(keep)


async def plan_of(database: Database, sql: str, values: Sequence[Any]) -> list[Sequence[Any]]:
    """The plan by which the database would run a statement."""
    explain = "EXPLAIN QUERY PLAN" if database.backend == "sqlite" else "EXPLAIN"
    async with database.connection() as connection:
        return list(await connection._fetch(f"{explain} {sql}", values))


async def generic_plan_of(database: Database, sql: str, values: Sequence[Any]) -> str:
    """The plan that PostgreSQL makes once for all values of a prepared statement."""
    async with database.connection() as connection:
        await connection.run(f"PREPARE statement AS {sql}")
        await connection.run("SET plan_cache_mode = force_generic_plan")
        try:
            rows = await connection._fetch(f"EXPLAIN EXECUTE statement ({', '.join(map(quote, values))})", ())
        finally:
            await connection.run("RESET plan_cache_mode")
            await connection.run("DEALLOCATE statement")
    return "\n".join(line for (line,) in rows)


def assert_reads_in_order(
    backend_name: str, plan: Sequence[Sequence[Any]], tables: Sequence[str], *, sorts_part: bool
) -> None:
    """Check that no table is read as a whole and nothing is sorted: an index has the order of the list.

    Args:
        backend_name: The database whose plan it is.
        plan: Its lines.
        tables: Those that must not be read as a whole.
        sorts_part: Whether the rows of a page, which were found already, may be sorted in the end.
    """
    print(*plan, sep="\n")
    text = "\n".join(str(value) for step in plan for value in step)
    if backend_name == "mariadb":
        wrong = [step for step in plan if step[2] in tables and step[3] == "ALL"]
        assert not wrong, f"read as a whole: {wrong}"
        sorts = [step for step in plan if "filesort" in str(step[-1]) and not str(step[2]).startswith("<derived")]
    elif backend_name == "sqlite":  # which says SCAN too where it walks a list in the order of its ids
        within = {step[0] for step in plan if "CO-ROUTINE" in step[-1]}  # the lines of one order
        sorts = [step for step in plan if "USE TEMP B-TREE" in step[-1] and step[1] not in within][sorts_part:]
    else:
        assert not tables or not re.search(rf"Seq Scan on ({'|'.join(tables)})\b", text)
        sorts = re.findall(r"^\s*(?:->)?\s*Sort +\(", text, re.MULTILINE)[sorts_part:]
    assert not sorts, "rows are sorted, and could be read in order"
