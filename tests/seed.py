"""The rows that a database starts a test with, put back before each, and all rows read, each in one round trip.

Statements are sent to the drivers together, past SQLAlchemy, which sends one at a time: most of what a short test
took was waiting for a dozen answers that say nothing.
"""

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import JSON, Dialect, String, Table, delete, insert, literal, select, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import SQLModel

from api.database.sessions import Database

BEGIN = {"sqlite": ["BEGIN IMMEDIATE"], "mysql": ["START TRANSACTION"]}
"""PostgreSQL takes what comes together for one transaction."""

Rows = dict[str, list[dict[str, Any]]]


class Seed:
    """The rows that the migrations put into the database, which each test finds there and nothing else."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self._script: list[str] = []

    @classmethod
    async def of(cls, database: Database) -> "Seed":
        async with database.engine.connect() as connection:
            return cls(
                {
                    table.name: [dict(row) for row in (await connection.execute(select(table))).mappings()]
                    for table in SQLModel.metadata.sorted_tables
                }
            )

    async def restore(self, database: Database) -> None:
        """Delete what is there, whoever wrote it, and put the rows back."""
        if self._script:
            await run_together(database.engine, self._script)
        else:
            await self._write_script(database)

    async def _write_script(self, database: Database) -> None:
        """Restore by statements with parameters, and then by the script, which must come to the same."""
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


def _literal(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    """A row whose JSON is text, as which all databases take it: SQLAlchemy cannot write down JSON."""
    return {
        name: literal(json.dumps(value), String()) if isinstance(table.c[name].type, JSON) else value
        for name, value in row.items()
    }


def written(statement: Any, dialect: Dialect) -> str:
    """With its values in it. The compiler doubles each % for drivers that look for parameters, and here they do not."""
    compiled = str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    return compiled.replace("%%", "%") if dialect.paramstyle in ("format", "pyformat") else compiled


async def run_together(engine: AsyncEngine, statements: Iterable[str]) -> None:
    """Run statements that answer nothing."""
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


async def all_rows(engine: AsyncEngine) -> dict[str, list[str]]:
    """Everything in each table, as its driver shows it."""
    tables = SQLModel.metadata.sorted_tables
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
    """All rows of a table as one value: SQLite's driver takes one statement at a time."""
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    key = ", ".join(f'"{column.name}"' for column in table.primary_key)
    return f'(SELECT json_group_array(json_array({columns})) FROM (SELECT * FROM "{table.name}" ORDER BY {key}))'
