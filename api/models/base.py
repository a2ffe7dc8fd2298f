"""What every class family is made of: the base of its schemas and of its table, relationships and CHECKs."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import Enum
from typing import Any, ClassVar

from pydantic import AwareDatetime, ConfigDict, ValidationInfo, field_validator
from sqlmodel import CheckConstraint, Field, Relationship, SQLModel, Table

from api.models import portable  # noqa: F401 - before the first table
from api.models.texts import texts_of
from api.models.types import without_nul

# Constraints and indexes get their names from this convention alone, so a downgrade can name them on every database.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


_moment: ContextVar[datetime | None] = ContextVar("moment", default=None)

NotAudited = str | dict[str, str]
"""Why a table, or each of some columns, is not in the audit trail: see `audited.py`."""


def utcnow() -> datetime:
    return _moment.get() or datetime.now(UTC)


@contextmanager
def at(moment: datetime) -> Iterator[None]:
    """Have it be another time in the block, for this task alone, so that the rules write a past (`api/demo/`)."""
    token = _moment.set(moment)
    try:
        yield
    finally:
        _moment.reset(token)


def _drop_null_defaults(schema: dict[str, Any]) -> None:
    """An update's `null` default only says that the field may be absent; as a value it would be refused."""
    for field in schema.get("properties", {}).values():
        if field.get("default", ...) is None:
            del field["default"]


class Schema(SQLModel):
    """The base of every family: unknown fields are refused, and white space around a text is dropped.

    `elsewhere` says of fields that a request must not have where that is written instead, for those who look for it.
    """

    elsewhere: ClassVar[dict[str, str]] = dict.fromkeys(("id", "created_at", "updated_at"), "the shop sets it")

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True, json_schema_extra=_drop_null_defaults)  # type: ignore[assignment]

    @classmethod
    def elsewhere_of(cls, name: str) -> str | None:
        """What `elsewhere` of this class, or of one that it is made of, says of a field."""
        known = (vars(each).get("elsewhere", {}) for each in cls.__mro__)
        return next((each[name] for each in known if name in each), None)

    @field_validator("*", mode="before")
    @classmethod
    def _prepare_text(cls, value: Any, info: ValidationInfo) -> Any:
        """A class with an `id` is of stored rows. They stay as they are, also where other rules held when they came."""
        texts = {} if "id" in cls.model_fields else texts_of(cls)
        if isinstance(value, str) and info.field_name in texts:
            text, max_length = texts[info.field_name]
            return text.prepared(value, max_length)
        return value

    @field_validator("*", mode="after")
    @classmethod
    def _without_nul(cls, value: Any) -> Any:
        return without_nul(value)


class Timestamps(SQLModel):
    """The times of a row, set by the shop and never by a client."""

    not_audited: ClassVar[NotAudited] = dict.fromkeys(("created_at", "updated_at"), "each entry has a time of its own")

    created_at: AwareDatetime = Field(default_factory=utcnow, nullable=False)
    updated_at: AwareDatetime = Field(default_factory=utcnow, nullable=False, sa_column_kwargs={"onupdate": utcnow})


def noun_of(model: type[SQLModel]) -> str:
    """What a table class is called in a sentence: `OrderItem` is an "order item"."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", model.__name__).lower()


def model_of_table(table: Table) -> type[SQLModel] | None:
    """The table class of a table; `None` where it has none. A statement has an annotated copy, which is equal."""
    return next((model for model in _subclasses(SQLModel) if table == getattr(model, "__table__", None)), None)


def noun_of_table(table: Table) -> str:
    """The same for a table."""
    model = model_of_table(table)
    return table.name if model is None else noun_of(model)


def table_classes() -> Iterator[type[SQLModel]]:
    """Every table class that is imported."""
    return (model for model in _subclasses(SQLModel) if hasattr(model, "__table__"))


def with_article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeio" else f"a {noun}"  # "a user"


def _subclasses(model: type[SQLModel]) -> Iterator[type[SQLModel]]:
    for each in model.__subclasses__():
        yield each
        yield from _subclasses(each)


def related(back_populates: str | None = None, **options: Any) -> Any:
    """A relationship that a query loads on purpose (`join_one`, `load_many`); touching it unloaded raises.

    Deleting is left to the foreign keys: SQLAlchemy would load every child to delete it one by one.
    """
    link_model = options.pop("link_model", None)
    settings = {"lazy": "raise", **options}
    if link_model is None:
        settings["passive_deletes"] = "all"
    return Relationship(back_populates=back_populates, link_model=link_model, sa_relationship_kwargs=settings)


def one_of(column: str, values: Iterable[Enum]) -> CheckConstraint:
    """A CHECK that a column holds one of an enum's values."""
    allowed = ", ".join(f"'{value.value}'" for value in values)
    return CheckConstraint(f"{column} IN ({allowed})", name=column)


def check(name: str, condition: str) -> CheckConstraint:
    """A named CHECK of the table; a column's own named CHECK is a syntax error on MariaDB."""
    return CheckConstraint(condition, name=name)
