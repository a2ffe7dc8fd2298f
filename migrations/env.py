"""How Alembic reaches the database. It runs this file for each of its commands.

One migration runs at a time, whoever starts it; a second one waits and then finds nothing left to do. On SQLite and
PostgreSQL a command is one transaction, so a migration that fails leaves nothing half applied. What changes a table
that is in use (`migrations/online.py`) commits before and after, and can be run again. MariaDB and MySQL commit each
DDL statement by themselves: there, mend by hand what another migration that failed has left.
"""

import asyncio
import logging
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from alembic.operations.ops import DropIndexOp, DropTableOp, MigrationScript, ModifyTableOps
from alembic.runtime.migration import MigrationContext
from alembic.script import write_hooks
from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from sqlalchemy import URL, Connection, NullPool, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlmodel import SQLModel

import api.models  # noqa: F401 - fills the metadata
from api.database import schema, session_settings
from api.database.errors import message_of
from api.errors import ShopError
from api.models import columns
from api.settings import InvalidSettings, Settings, get_settings
from migrations.online import READ_TIMES_AS_UTC
from migrations.turns import MAX_WAIT, turn_on_postgresql, wait_for_turn_on_mysql


def the_settings() -> Settings:
    try:
        return context.config.attributes.get("settings") or get_settings()
    except InvalidSettings as error:
        raise CommandError(str(error)) from None


settings = the_settings()

CONNECT_TIMEOUT = 10
"""Seconds."""


def render_item(kind: str, item: Any, _: AutogenContext) -> str | Literal[False]:
    """Write our column types as a person would. An enum is a text to a migration: the values are in its CHECK."""
    if kind == "type" and isinstance(item, columns.EnumValue):
        return f"columns.UnicodeString(length={item.length})"
    if kind == "type" and type(item).__module__ == columns.__name__:
        return f"columns.{item!r}"
    return False


def is_of_models(item: Any, name: str | None, kind: str, is_reflected: bool, model: Any) -> bool:
    """Leave alone the indexes of searches, which a migration adds where the database can have them."""
    return not (kind == "index" and is_reflected and model is None and list(item.columns.keys()) == ["search_text"])


def drop_tables_with_their_indexes(_: MigrationContext, __: Any, directives: list[MigrationScript]) -> None:
    """A dropped table takes its indexes along, and MariaDB refuses to drop an index that a foreign key needs."""
    for script in directives:
        for operations in (*script.upgrade_ops_list, *script.downgrade_ops_list):
            dropped = {each.table_name for each in operations.ops if isinstance(each, DropTableOp)}
            for each in operations.ops:
                if isinstance(each, ModifyTableOps) and each.table_name in dropped:
                    each.ops = [change for change in each.ops if not isinstance(change, DropIndexOp)]


@write_hooks.register("ruff")
def format_revision(filename: str, options: dict[str, str]) -> None:
    """Lint and format a generated revision, where the tools of requirements-dev.txt are installed."""
    if find_spec("ruff") is not None:
        for command in (["check", "--fix-only"], ["format"]):
            subprocess.run([sys.executable, "-m", "ruff", *command, "--quiet", filename], check=True)  # noqa: S603


def include_name(name: str | None, kind: str, _: Mapping[str, str | None]) -> bool:
    """Leave alone the tables of others in the same database, such as `spatial_ref_sys` of PostGIS.

    A model that is taken away leaves its table to a revision that is written by hand.
    """
    return kind != "table" or name in SQLModel.metadata.tables


OPTIONS: dict[str, Any] = {
    "target_metadata": SQLModel.metadata,
    "include_name": include_name,
    "compare_type": True,
    "autogenerate_plugins": ["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"],
    "render_item": render_item,
    "include_object": is_of_models,
    "process_revision_directives": drop_tables_with_their_indexes,
}


def options_for(backend: str) -> dict[str, Any]:
    """SQLite can alter almost nothing in place, but does all of its DDL in transactions."""
    return OPTIONS | ({"render_as_batch": True, "transactional_ddl": True} if backend == "sqlite" else {})


def write_sql(url: URL) -> None:
    """For `--sql`: no database is needed."""
    context.configure(
        url=url, literal_binds=True, dialect_opts={"paramstyle": "named"}, **options_for(url.get_backend_name())
    )
    with context.begin_transaction():
        read_times_as_utc(url.get_backend_name())
        if url.get_backend_name() == "mysql":
            context.execute(session_settings.MYSQL_FORMATS)
        context.run_migrations()


async def migrate() -> None:
    engine = create_engine(settings.database)
    try:
        async with turn_on_postgresql(engine), engine.connect() as connection:
            await connection.run_sync(run_migrations)
    finally:
        await engine.dispose()


def create_engine(url: URL) -> AsyncEngine:
    if url.get_backend_name() != "sqlite":
        connect_args = session_settings.migration_connect_args(settings, CONNECT_TIMEOUT)
        engine = create_async_engine(url, poolclass=NullPool, connect_args=connect_args)
        session_settings.prepare_migration(engine, settings)
        return engine
    connect_args = {"isolation_level": None, "timeout": MAX_WAIT}
    engine = create_async_engine(url, poolclass=NullPool, connect_args=connect_args)
    event.listen(engine.sync_engine, "connect", prepare_sqlite)
    event.listen(engine.sync_engine, "begin", begin_sqlite)
    return engine


def prepare_sqlite(connection: Any, record: Any) -> None:
    """A table is altered by copying and dropping it, which would cascade to the rows that refer to it.

    SQLite switches to its write-ahead log here, once. The switch does not wait for other connections, so it must not
    be left to the first requests.
    """
    connection.execute("PRAGMA foreign_keys = OFF")
    deadline = time.monotonic() + MAX_WAIT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def begin_sqlite(connection: Connection) -> None:
    """The driver's own transaction control is off: it would leave DDL outside of any transaction.

    A second migration waits here.
    """
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def run_migrations(connection: Connection) -> None:
    backend = connection.dialect.name
    context.configure(connection=connection, **options_for(backend))
    with context.begin_transaction():
        if backend == "mysql":
            wait_for_turn_on_mysql(connection)
        read_times_as_utc(backend)
        context.run_migrations()
        if backend == "sqlite":
            check_foreign_keys(connection)


def read_times_as_utc(backend: str) -> None:
    """The other databases store a time as it is."""
    if backend == "postgresql":
        context.execute(READ_TIMES_AS_UTC)


def check_foreign_keys(connection: Connection) -> None:
    dangling = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    if dangling:
        rows = ", ".join(f"{row.table} {row.rowid}" for row in dangling[:10])
        raise ValueError(f"The migration would leave rows that refer to nothing: {rows}")


def reach_the_database() -> None:
    """Migrate, and say in one line what whoever runs this can mend."""
    try:
        asyncio.run(migrate())
    except (OperationalError, ShopError, OSError) as error:
        raise CommandError(message_of(error)) from error
    except CommandError as error:
        if isinstance(error.__cause__, ResolutionError):
            raise CommandError(f"{schema.NEWER} ({error})") from error
        raise


if context.config.cmd_opts is not None:  # the alembic command; python -m api has set up its own logging
    logging.basicConfig(level=settings.log_level.upper(), format="%(message)s")

if context.is_offline_mode():
    write_sql(settings.database)
else:
    reach_the_database()
