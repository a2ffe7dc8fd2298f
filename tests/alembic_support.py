"""Alembic commands on a database of a test, and a look into that database at any revision."""

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import MetaData, Row, Select, Table, column, insert, select
from sqlalchemy import table as table_of
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool
from sqlmodel import SQLModel

from api.settings import Settings
from tests.support import ROOT


def alembic(url: str, name: str, *arguments: Any, drafts: Path | None = None, **options: Any) -> str:
    """Run an Alembic command, and return its output. The revisions in `drafts` count too.

    It runs in a thread, because a migration starts an event loop.
    """
    output = StringIO()
    config = Config(ROOT / "alembic.ini", output_buffer=output)
    config.attributes["settings"] = Settings(_env_file=None, database_url=url)
    if drafts is not None:
        config.set_main_option("version_locations", f"{ROOT / 'migrations' / 'versions'}{os.pathsep}{drafts}")
    with ThreadPoolExecutor(1) as thread:
        thread.submit(getattr(command, name), config, *arguments, **options).result()
    return output.getvalue()


def on_engine(url: str, work: Callable[[AsyncEngine], Any]) -> Any:
    """Run a coroutine in a thread. Its connections commit each statement and check foreign keys."""

    async def run() -> Any:
        engine = create_async_engine(
            Settings(_env_file=None, database_url=url).database,
            isolation_level="AUTOCOMMIT",
            poolclass=NullPool,
            enable_from_linting=False,  # some statements count on a product of tables
        )
        return await work(engine)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, run()).result()


def sql(url: str, *statements: str) -> Sequence[Row[Any]]:
    """Run statements, and return the rows of the last statement."""

    async def run(engine: AsyncEngine) -> Sequence[Row[Any]]:
        async with engine.connect() as connection:
            for statement in statements:
                result = await connection.exec_driver_sql(statement)
            return result.all() if result.returns_rows else []

    rows: Sequence[Row[Any]] = on_engine(url, run)
    return rows


def put(url: str, *rows: SQLModel) -> None:
    """Write rows, one after the other, with the columns that exist at this revision."""
    existing = columns(url)

    async def run(engine: AsyncEngine) -> None:
        async with engine.connect() as connection:
            for row in rows:
                table: Table = row.__table__  # type: ignore[attr-defined]
                values = {
                    name: value
                    for name, value in row.model_dump(exclude={"id"}).items()
                    if name in existing[table.name]
                }
                known = (column(name, table.c[name].type) for name in values)  # others would bring their defaults
                await connection.execute(insert(table_of(table.name, *known)).values(values))

    on_engine(url, run)


def contents(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, with the columns that exist at this revision."""
    existing = columns(url)

    async def run(engine: AsyncEngine) -> dict[str, list[tuple[Any, ...]]]:
        async with engine.connect() as connection:
            return {
                table.name: sorted(
                    (tuple(row) for row in await connection.execute(_select(table, existing[table.name]))), key=repr
                )
                for table in SQLModel.metadata.sorted_tables
                if table.name in existing
            }

    rows: dict[str, list[tuple[Any, ...]]] = on_engine(url, run)
    return rows


def _select(table: Table, existing: set[str]) -> Select[Any]:
    return select(*(each for each in table.columns if each.name in existing))


def tables(url: str) -> set[str]:
    """The names of all tables, also of those without a model."""
    return set(columns(url))


def columns(url: str) -> dict[str, set[str]]:
    """The names of the columns of all tables, also of those without a model."""

    async def run(engine: AsyncEngine) -> dict[str, set[str]]:
        async with engine.connect() as connection:
            reflected = MetaData()
            await connection.run_sync(reflected.reflect)
            return {table.name: set(table.columns.keys()) for table in reflected.sorted_tables}

    names: dict[str, set[str]] = on_engine(url, run)
    return names
