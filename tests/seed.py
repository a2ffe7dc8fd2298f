"""Puts back the rows that every test starts with, and reads all rows, each in one round trip.

All statements go to the driver at once. SQLAlchemy would send one at a time, and a short test would mostly wait.
"""

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import JSON, Dialect, Select, String, Table, delete, insert, literal, select, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from api.database.sessions import Database

BEGIN = {"sqlite": ["BEGIN IMMEDIATE"], "mysql": ["START TRANSACTION"]}
"""How a script starts its transaction. PostgreSQL runs statements that arrive together as one transaction."""

Rows = dict[str, list[dict[str, Any]]]


class Seed:
    """The rows that every test starts with, such as those that the migrations write."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self._script: list[str] = []

    @classmethod
    async def of(cls, database: Database) -> "Seed":
        async with database.engine.connect() as connection:
            return cls(
                {
                    table.name: [dict(row) for row in (await connection.execute(_in_order(table))).mappings()]
                    for table in SQLModel.metadata.sorted_tables
                }
            )

    async def restore(self, database: Database) -> None:
        """Delete all rows, and write these."""
        if self._script:
            await run_together(database.engine, self._script)
        else:
            await self._write_script(database)

    async def _write_script(self, database: Database) -> None:
        """Restore by statements with parameters, then by the script, and compare the two."""
        await self._restore_one_by_one(database)
        expected = (await Seed.of(database)).rows
        dialect = database.engine.dialect
        self._script = [
            *BEGIN.get(dialect.name, []),
            *(written(delete(table), dialect) for table in reversed(SQLModel.metadata.sorted_tables)),
            *(["DELETE FROM sqlite_sequence"] if dialect.name == "sqlite" else []),
            *(
                written(insert(table).values([_literal(table, row) for row in self.rows[table.name]]), dialect)
                for table in SQLModel.metadata.sorted_tables
                if self.rows[table.name]
            ),
            *(["COMMIT"] if dialect.name in BEGIN else []),
        ]
        await run_together(database.engine, self._script)
        assert (await Seed.of(database)).rows == expected, "a value is not written as its driver sends it"

    async def _restore_one_by_one(self, database: Database) -> None:
        async with database.writes() as session, session.begin():
            connection = await session.connection()
            for table in reversed(SQLModel.metadata.sorted_tables):
                await connection.execute(delete(table))
            if database.engine.dialect.name == "sqlite":  # a test may have used up the ids
                await connection.execute(text("DELETE FROM sqlite_sequence"))
            for table in SQLModel.metadata.sorted_tables:
                if self.rows[table.name]:
                    await connection.execute(insert(table), self.rows[table.name])


def _in_order(table: Table) -> Select[Any]:
    """All rows of a table by their key. PostgreSQL would return them in any order."""
    return select(table).order_by(*table.primary_key)


def _literal(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    """A row with its JSON as text, which all databases accept; SQLAlchemy has no literal for JSON."""
    return {
        name: literal(json.dumps(value), String()) if isinstance(table.c[name].type, JSON) else value
        for name, value in row.items()
    }


def written(statement: Any, dialect: Dialect) -> str:
    """A statement as text, values included; a % stands once, because the drivers get no parameters."""
    compiled = str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    return compiled.replace("%%", "%") if dialect.paramstyle in ("format", "pyformat") else compiled


async def run_together(engine: AsyncEngine, statements: Iterable[str]) -> None:
    """Run statements that return no rows."""
    script = ";\n".join(statements)
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        match engine.dialect.name:
            case "sqlite":
                await driver.executescript(script)
            case "postgresql":
                await driver.execute(script, prepare=False)
            case _:
                async with driver.cursor() as cursor:
                    await cursor.execute(script)
                    while await cursor.nextset():  # an error of a later statement is raised here
                        pass


async def all_rows(session: AsyncSession) -> dict[str, list[str]]:
    """Everything in each table, as its driver shows it, for comparison with what is there later."""
    tables, engine = SQLModel.metadata.sorted_tables, session.bind
    assert isinstance(engine, AsyncEngine), "the session has a connection of its own"
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        match engine.dialect.name:
            case "sqlite":
                async with driver.execute(f"SELECT {', '.join(map(_as_json, tables))}") as cursor:
                    answers = [[each] for each in await cursor.fetchone()]
            case "postgresql":
                cursor = await driver.execute(_selects(tables, engine.dialect), prepare=False)
                answers = [await cursor.fetchall()]
                while cursor.nextset():
                    answers.append(await cursor.fetchall())
            case _:
                async with driver.cursor() as cursor:
                    await cursor.execute(_selects(tables, engine.dialect))
                    answers = [await cursor.fetchall()]
                    while await cursor.nextset():
                        answers.append(await cursor.fetchall())
    return {table.name: sorted(map(repr, rows)) for table, rows in zip(tables, answers, strict=True)}


def _selects(tables: Iterable[Table], dialect: Dialect) -> str:
    return ";\n".join(written(select(table), dialect) for table in tables)


def _as_json(table: Table) -> str:
    """All rows of a table as one value, because SQLite's driver takes one statement at a time."""
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    key = ", ".join(f'"{column.name}"' for column in table.primary_key)
    return f'(SELECT json_group_array(json_array({columns})) FROM (SELECT * FROM "{table.name}" ORDER BY {key}))'
