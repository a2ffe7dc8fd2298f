"""Migrations of tables that are in use: they commit by themselves, keep nobody waiting, and can be run again."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.ext.asyncio import AsyncEngine

from tests import large_shop
from tests.alembic_support import alembic, on_engine, sql
from tests.house.migrations import REVISIONS, assert_equals_models, upgrade_twice_at_once
from tests.support import ROOT

ROWS = 2_000
"""More than are migrated within the command's transaction."""

SEARCH_TEXTS, INDEXES = "1f6b02c9ae57", "c2d5e8f1a364"
LAST_TRIED = "e665c809d27e"
"""Whose changes all go through `migrations/online.py`, as do those of all before it."""

only_postgresql = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)

BUILDING = "SELECT pid FROM pg_stat_progress_create_index WHERE datname = current_database()"
OPEN_WRITE = "BEGIN", "UPDATE products SET price = price + 1 WHERE id = 1"


def fill(url: str) -> None:
    alembic(url, "upgrade", large_shop.BEFORE_SEARCHES)
    large_shop.fill(url, ROWS)


def revision(url: str) -> str:
    return str(sql(url, "SELECT version_num FROM alembic_version")[0][0])


def test_two_upgrades_at_once_both_succeed(url: str) -> None:
    """The one that waits must not keep a snapshot, for which the building of an index would wait."""
    fill(url)
    outputs = upgrade_twice_at_once(url, ROOT)
    assert sum("Store what rows are found by" in each for each in outputs) == 1
    assert_equals_models(url)


@pytest.mark.parametrize("backend", ["postgresql", "mariadb"], indirect=True)
def test_an_interrupted_upgrade_is_run_again(url: str) -> None:
    """As if it had been killed before all rows were filled in and all old indexes dropped; SQLite undoes all of it."""
    fill(url)
    alembic(url, "upgrade", INDEXES)
    sql(
        url,
        "UPDATE products SET search_text = NULL WHERE id > 1000",
        "CREATE INDEX ix_orders_status ON orders (status)",
        f"UPDATE alembic_version SET version_num = '{large_shop.BEFORE_SEARCHES}'",
    )

    alembic(url, "upgrade", "head")

    assert sql(url, "SELECT count(*) FROM products WHERE search_text IS NULL")[0][0] == 0
    assert_equals_models(url)


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("backend", ["mariadb"], indirect=True)
def test_migrations_are_run_again_wherever_they_were_interrupted(migrated: str) -> None:
    """MariaDB commits each change of a table by itself. Here each run ends after its first change, and the next one
    goes on with what is there."""
    alembic(migrated, "downgrade", LAST_TRIED)
    changes = [
        run_again_after_each_change(migrated, command, revision)
        for command, revision in (("downgrade", large_shop.BEFORE_SEARCHES), ("upgrade", LAST_TRIED))
    ]
    assert min(changes) > 30
    alembic(migrated, "upgrade", "head")
    assert_equals_models(migrated)


def run_again_after_each_change(url: str, command: str, revision: str) -> int:
    """Return how many runs it took. A change that the next run repeats, as of a CHECK, interrupts once only."""
    made = set()

    def interrupt(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.split()[0] in ("CREATE", "ALTER", "DROP") and statement not in made:
            made.add(statement)
            raise Interrupted

    event.listen(Engine, "after_cursor_execute", interrupt)
    try:
        for run in range(200):
            try:
                alembic(url, command, revision)
            except Interrupted:
                continue
            return run
    finally:
        event.remove(Engine, "after_cursor_execute", interrupt)
    raise AssertionError(f"the same change is made again and again, in {command} to {revision}")


@only_postgresql
def test_an_index_that_was_left_invalid_is_built_again(url: str) -> None:
    fill(url)
    alembic(url, "upgrade", SEARCH_TEXTS)

    invalid = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
    create = "CREATE INDEX CONCURRENTLY ix_products_name_id ON products (name, id)"

    async def interrupt(engine: AsyncEngine) -> None:
        async with engine.connect() as writer, engine.connect() as builder:
            for statement in OPEN_WRITE:
                await writer.exec_driver_sql(statement)
            builder_id = (await builder.exec_driver_sql("SELECT pg_backend_pid()")).scalar_one()
            building = asyncio.create_task(builder.exec_driver_sql(create))
            async with engine.connect() as watcher, asyncio.timeout(60):
                while not (await watcher.exec_driver_sql(invalid)).all():  # noqa: ASYNC110 - a server tells nobody
                    await asyncio.sleep(0.05)
                await watcher.exec_driver_sql(f"SELECT pg_cancel_backend({builder_id})")
                with pytest.raises(Exception, match="due to user request"):
                    await building
            await writer.exec_driver_sql("ROLLBACK")

    on_engine(url, interrupt)
    assert [row[0] for row in sql(url, invalid)] == ["ix_products_name_id"]

    alembic(url, "upgrade", "head")

    assert sql(url, invalid) == []
    assert_equals_models(url)


@only_postgresql
def test_writers_go_on_while_indexes_are_built(url: str) -> None:
    """The building waits for a transaction that is open; nobody waits for the building."""
    fill(url)
    alembic(url, "upgrade", SEARCH_TEXTS)

    async def write(engine: AsyncEngine) -> float:
        async with engine.connect() as slow, engine.connect() as other:
            for statement in OPEN_WRITE:
                await slow.exec_driver_sql(statement)
            with ThreadPoolExecutor(1) as thread:
                upgrade = thread.submit(alembic, url, "upgrade", "head")
                try:
                    began = monotonic()
                    while not (await other.exec_driver_sql(BUILDING)).all():
                        assert monotonic() - began < 30
                        await asyncio.sleep(0.05)
                    began = monotonic()
                    await other.exec_driver_sql("UPDATE products SET stock_quantity = 7 WHERE id = 2")
                    took = monotonic() - began
                finally:
                    await slow.exec_driver_sql("COMMIT")
                upgrade.result()
            return took

    assert on_engine(url, write) < 1
    assert revision(url) == REVISIONS[-1]
