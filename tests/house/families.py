"""Every class of api/models/, every table, and the file that each stands in."""

import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest
from sqlalchemy import Column, Table
from sqlmodel import SQLModel

from api import models
from tests.support import ROOT

CLASSES: dict[str, type[Any]] = {
    name: each
    for module in iter_modules(models.__path__)
    for name, each in vars(import_module(f"api.models.{module.name}")).items()
    if isinstance(each, type) and each.__module__ == f"api.models.{module.name}"
}
"""All classes by name, also those of a file that `api/models/__init__.py` does not name."""

FAMILIES: dict[str, type[SQLModel]] = {name: each for name, each in CLASSES.items() if issubclass(each, SQLModel)}
ENTITIES = {name: each for name, each in FAMILIES.items() if hasattr(each, "__table__")}
TABLES = SQLModel.metadata.sorted_tables


def table_of(entity: type[SQLModel]) -> Table:
    table: Table = entity.__table__  # type: ignore[attr-defined]
    return table


def file_of(place: type[Any] | Table | Column[Any]) -> str:
    """The file of a class, a table or a column, as a message names it."""
    if isinstance(place, type):
        return Path(str(sys.modules[place.__module__].__file__)).relative_to(ROOT).as_posix()
    table = place.table if isinstance(place, Column) else place
    return file_of(next(each for each in ENTITIES.values() if table_of(each) is table))


def all_tables() -> list[Any]:
    return [pytest.param(table, id=table.name) for table in TABLES]


def all_columns(*types: type[Any]) -> list[Any]:
    """The columns of these types; without one, all."""
    return [
        pytest.param(column, id=str(column))
        for table in TABLES
        for column in table.columns
        if not types or isinstance(column.type, types)
    ]


def schemas(*suffixes: str) -> list[Any]:
    """The classes whose name ends so and that are no tables."""
    return [
        pytest.param(each, id=name)
        for name, each in FAMILIES.items()
        if name.endswith(suffixes) and name not in ENTITIES
    ]
