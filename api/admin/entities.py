"""What the admin knows of each entity: derived from its class family, and from the routes that its table has."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from types import ModuleType
from typing import Any

from fastapi import FastAPI
from sqlalchemy import JSON, Boolean, Date, Integer, Numeric, Table
from sqlalchemy import Column as TableColumn
from sqlmodel import SQLModel

from api import models
from api.admin.framework_internals import ApiRoute, api_routes
from api.admin.words import capitalised, label_of
from api.models.base import noun_of
from api.models.columns import EnumValue, ScaledInteger, Timestamp

LONG = 254
"""Characters, those of an e-mail address: a longer text has no place in a table of rows."""

COLUMNS_IN_LIST = 7
"""As many as fit beside each other on a small screen of a desk."""

LIST_KINDS = ("choice", "link", "amount", "number", "flag", "text", "time")
"""What a list shows first, where an entity has more columns than a list has room for."""


class Kind(StrEnum):
    """How a value is shown, filtered and entered."""

    TEXT = "text"
    LONG_TEXT = "long text"
    NUMBER = "number"
    AMOUNT = "amount"
    FLAG = "flag"
    CHOICE = "choice"
    TIME = "time"
    DATE = "date"
    LINK = "link"
    DOCUMENT = "document"


@dataclass(frozen=True)
class Column:
    """A column of a table as pages show it."""

    name: str
    kind: Kind
    target: str | None
    """The table that a foreign key leads to."""
    choices: tuple[str, ...]
    is_nullable: bool

    @property
    def label(self) -> str:
        return label_of(self.name)


@dataclass(frozen=True)
class Entity:
    """A table class with its Read class, and the routes below its path, and that of its import."""

    model: type[Any]
    read: type[SQLModel]
    routes: tuple[ApiRoute, ...]

    @cached_property
    def table(self) -> Table:
        table: Table = self.model.__table__
        return table

    @property
    def name(self) -> str:
        """Its part of a path: `order-items`."""
        return self.table.name.replace("_", "-")

    @property
    def path(self) -> str:
        """Where the API has it."""
        return f"/{self.name}"

    @property
    def title(self) -> str:
        return capitalised(self.table.name.replace("_", " "))

    @property
    def noun(self) -> str:
        return noun_of(self.model)

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """What an answer of the API has of the table, and whom and what the row belongs to."""
        shown = [name for name in self.read.model_fields if name in self.table.c]
        links = [each.name for each in self.table.c if each.foreign_keys and each.name not in shown]
        names = [*(name for name in shown if name != "id"), *links]
        times = [name for name in ("created_at", "updated_at") if name in names]
        return tuple(_column(self.table.c[name]) for name in [*(each for each in names if each not in times), *times])

    def column(self, name: str) -> Column | None:
        return next((each for each in self.columns if each.name == name), None)

    @cached_property
    def label(self) -> str | None:
        """The column that a row goes by; without one it goes by its number."""
        texts = (each for each in self.columns if each.kind is Kind.TEXT and not each.is_nullable)
        return next((each.name for each in texts), None)

    @cached_property
    def list_columns(self) -> tuple[Column, ...]:
        """The label is a column of its own, before these."""
        wanted = [each for each in self.columns if each.kind in LIST_KINDS and each.name not in (self.label, "slug")]
        wanted = [each for each in wanted if each.name not in ("created_at", "updated_at")]
        first = sorted(wanted, key=lambda each: LIST_KINDS.index(each.kind))[: COLUMNS_IN_LIST - 1]
        created = self.column("created_at")
        return (*(each for each in wanted if each in first), *([created] if created else []))

    @cached_property
    def sorts(self) -> dict[str, str]:
        """The orders that an index has, and what each is called."""
        found = {"-id": "Newest first", "id": "Oldest first"}
        for name in self.indexed:
            column = self.column(name)
            if column and not column.is_nullable and column.kind in (Kind.TEXT, Kind.NUMBER, Kind.AMOUNT, Kind.TIME):
                found |= {name: f"{column.label}, ascending", f"-{name}": f"{column.label}, descending"}
        return found

    @cached_property
    def indexed(self) -> tuple[str, ...]:
        """Columns that an index begins with."""
        found = [next(iter(each.columns)).name for each in self.table.indexes]
        return tuple(dict.fromkeys([*self.unique_texts, *sorted(found)]))

    @cached_property
    def unique_texts(self) -> tuple[str, ...]:
        """Texts that name one row."""
        names = [each.name for each in self.table.c if each.unique]
        found = (self.column(name) for name in names)
        return tuple(each.name for each in found if each and each.kind is Kind.TEXT)

    def label_of(self, row_id: int, label: Any) -> str:
        return str(label) if label not in (None, "") else f"{capitalised(self.noun)} {row_id}"

    def route(self, method: str, path: str = "") -> ApiRoute | None:
        """The route of a method at the path of the entity, or below it."""
        wanted = (method, self.path + path)
        return next((each for each in self.routes if (each.method, each.path) == wanted), None)

    @cached_property
    def create(self) -> ApiRoute | None:
        route = self.route("POST")
        return route if route and route.body else None

    @cached_property
    def update(self) -> ApiRoute | None:
        route = self.route("PATCH", "/{id}")
        return route if route and route.body else None

    @cached_property
    def delete(self) -> ApiRoute | None:
        return self.route("DELETE", "/{id}")

    @cached_property
    def importing(self) -> ApiRoute | None:
        """The route that takes a file of rows."""
        return next((each for each in self.routes if each.path == f"/imports{self.path}"), None)

    @property
    def is_listed(self) -> bool:
        """Whether the API lists it, so that it is more than a part of others."""
        return self.route("GET") is not None


def _column(column: TableColumn[Any]) -> Column:
    key = next(iter(column.foreign_keys), None)
    choices = tuple(each.value for each in column.type.enum) if isinstance(column.type, EnumValue) else ()
    return Column(column.name, _kind(column), key.column.table.name if key else None, choices, bool(column.nullable))


def _kind(column: TableColumn[Any]) -> Kind:
    if column.foreign_keys:
        return Kind.LINK
    kinds: dict[type[Any], Kind] = {
        Boolean: Kind.FLAG,
        EnumValue: Kind.CHOICE,
        ScaledInteger: Kind.AMOUNT,
        Numeric: Kind.AMOUNT,
        Timestamp: Kind.TIME,
        Date: Kind.DATE,
        JSON: Kind.DOCUMENT,
        Integer: Kind.NUMBER,
    }
    found = next((kinds[each] for each in kinds if isinstance(column.type, each)), None)
    if found:
        return found
    length = getattr(column.type, "length", None) or getattr(getattr(column.type, "impl", None), "length", None)
    return Kind.TEXT if length and length <= LONG else Kind.LONG_TEXT


class Entities(Mapping[str, Entity]):
    """All entities by their part of a path: those that the API lists in its order, and then the others."""

    def __init__(self, app: FastAPI) -> None:
        routes = list(api_routes(app))
        paths = list(dict.fromkeys(each.path for each in routes))
        found = [Entity(model, read, _routes_below(model, routes)) for model, read in _families()]
        found.sort(key=lambda each: (not each.is_listed, paths.index(each.path) if each.is_listed else each.name))
        self._by_name = {each.name: each for each in found}
        self._by_table = {each.table.name: each for each in found}
        self.actions: dict[str, Any] = {}  # what `actions.py` derives of each, once

    def __getitem__(self, name: str) -> Entity:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def of_table(self, name: str | None) -> Entity | None:
        return None if name is None else self._by_table.get(name)

    def referring_to(self, entity: Entity) -> list[tuple[Entity, Column]]:
        """The entities that have a foreign key to one, and that column."""
        return [
            (other, column) for other in self.values() for column in other.columns if column.target == entity.table.name
        ]

    def target_of(self, name: str) -> str | None:
        """The table that a field of this name leads to, where all tables that have such a column agree."""
        found = {column.target for entity in self.values() for column in entity.columns if column.name == name}
        return found.pop() if len(found) == 1 else None


def _families() -> Iterator[tuple[type[Any], type[SQLModel]]]:
    """The table classes that have an id and a Read class: what the API answers, it may show to staff."""
    for module in vars(models).values():
        if isinstance(module, ModuleType):
            for name, model in vars(module).items():
                read = vars(module).get(f"{name}Read")
                if read is not None and getattr(model, "__module__", None) == module.__name__ and hasattr(model, "id"):
                    yield model, read


def _routes_below(model: type[Any], routes: Iterable[ApiRoute]) -> tuple[ApiRoute, ...]:
    path = "/" + str(model.__tablename__).replace("_", "-")
    return tuple(each for each in routes if each.path in (path, f"/imports{path}") or each.path.startswith(f"{path}/"))
